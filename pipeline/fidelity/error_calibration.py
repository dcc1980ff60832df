"""How well the disagreement of a network predicts its true error, measured where the reference is known.

A standard deviation over views is no error yet: views share most of their mistakes. On the validation volumes it is
found by what it must be multiplied to be, on average, the absolute error; nothing else is fitted. Whether the product
can be read as an expected absolute error is then seen on the tested volumes: in every bin of predicted errors the mean
of the true ones should be the same (reliability curve: Guo et al., ICML 2017; for regression Kuleshov et al., ICML
2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BINS = 10
"""Of equally many voxels each, from the least to the largest predicted error."""


class Sums(NamedTuple):
    """What calibration needs of a volume: the sums of spread and absolute error over its foreground, and its size."""

    spread: float
    error: float
    voxels: int


class Bin(NamedTuple):
    """Voxels whose predicted errors are alike: their mean predicted and mean true absolute error, and their number."""

    predicted: float
    observed: float
    voxels: int


def sums_of(spread: NDArray[np.floating], error: NDArray[np.floating]) -> Sums:
    """Sum up spread and absolute error of the same voxels, in normalised intensities."""
    return Sums(float(np.sum(spread, dtype=np.float64)), float(np.sum(error, dtype=np.float64)), spread.size)


def calibration_factor(sums: Sums) -> float:
    """Return the factor by which the mean spread becomes the mean absolute error; 0 where nothing disagrees."""
    return sums.error / sums.spread if sums.spread else 0.0


def reliability_curve(predicted: NDArray[np.floating], error: NDArray[np.floating], bins: int = BINS) -> Iterator[Bin]:
    """Compare predicted with true errors in bins of equally many voxels, by rising prediction.

    Args:
        predicted: expected absolute error of each voxel, shape (voxels,).
        error: its true absolute error, of the same shape and unit.
        bins: how many; none of them is empty, so that few voxels have fewer bins.
    """
    order = np.argsort(predicted, kind="stable")
    for part in np.array_split(order, min(bins, len(order)) or 1):
        if len(part):
            expected, found = (float(np.mean(values[part], dtype=np.float64)) for values in (predicted, error))
            yield Bin(expected, found, len(part))


def rank_correlation(predicted: NDArray[np.floating], error: NDArray[np.floating]) -> float:
    """Return Spearman's correlation: 1 where the order of the predictions is that of the errors; NaN for constants."""
    if not len(predicted) or min(np.ptp(predicted), np.ptp(error)) == 0:
        return float("nan")
    result: Any = stats.spearmanr(predicted, error)
    return float(result.statistic)
