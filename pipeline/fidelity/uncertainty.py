"""Calibration and reliability of uncertainty maps, where the reference is known.

The standard deviation over test-time augmentations (TTA) is not an error estimate: augmentations share most of their
errors. On the validation volumes it is multiplied by one factor, so that its mean equals the mean absolute error;
nothing else is fitted. Whether the product can be read as an expected absolute error is evaluated on the test volumes:
in each bin of predicted errors, the mean of the observed errors should be the same (reliability curve: Guo et al., ICML
2017; for regression Kuleshov et al., ICML 2018).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.errors import UserError
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import read_prediction
from pipeline.image.image import Image
from pipeline.inference.calibration import Calibration
from pipeline.tables.reliability import ReliabilityBin
from pipeline.tables.uncertainty import UncertaintySummary

BINS = 10
"""Number of bins with equally many voxels."""

Floats = NDArray[np.floating]


class Bin(NamedTuple):
    """Mean predicted error, mean observed error and number of the voxels with similar predicted errors."""

    predicted: float
    observed: float
    voxels: int


def foreground_errors(reference: Image, prediction: Floats, tta_std: Image) -> tuple[Floats, Floats]:
    """Return TTA standard deviation and absolute error of the foreground voxels of a volume.

    Args:
        reference: extracted volume.
        prediction: restored volume, normalised, of the same shape.
        tta_std: TTA standard deviation of the method.

    Returns:
        Two arrays of shape (voxels,), normalised intensities.

    Raises:
        UserError: the files belong to different volumes.
    """
    if tta_std.id != reference.id or tta_std.data.shape != reference.data.shape:
        raise UserError(
            f"--tta-std: belongs to volume {tta_std.id!r}, but --hr to {reference.id!r}; give both in the same order."
        )
    mask = reference.masks["foreground"]
    return tta_std.data[mask], np.abs(prediction - reference.data)[mask]


def calibrate(errors: Iterable[tuple[str, Floats, Floats]]) -> Calibration:
    """Compute the calibration factor of a method.

    Args:
        errors: of each volume its name and the result of `foreground_errors`.
    """
    std_sum, error_sum, voxels, volumes = 0.0, 0.0, 0, []
    for name, deviation, error in errors:
        std_sum += float(np.sum(deviation, dtype=np.float64))
        error_sum += float(np.sum(error, dtype=np.float64))
        voxels += deviation.size
        volumes.append(name)
    factor, count = error_sum / std_sum if std_sum else 0.0, max(voxels, 1)
    return Calibration(factor, std_sum / count, error_sum / count, voxels, tuple(volumes))


def read_errors(files: Iterable[tuple[Path, Path, Path]]) -> Iterator[tuple[str, Floats, Floats]]:
    """Read the errors of volumes for `calibrate`, one volume at a time.

    Args:
        files: reference, prediction and TTA standard deviation of each volume.

    Raises:
        UserError: a file cannot be read, or belongs to another volume.
    """
    for hr, restored, tta_std in files:
        reference = read_image(hr)
        yield reference.id, *foreground_errors(reference, read_prediction(restored, reference), read_image(tta_std))


def evaluate_uncertainty(
    reference: Image, method: str, prediction: Floats, tta_std: Image, factor: float
) -> tuple[list[ReliabilityBin], UncertaintySummary]:
    """Compare predicted with observed errors of one volume, both as fractions of the normalised range.

    Args:
        reference: extracted volume.
        method: name of the method.
        prediction: restored volume, normalised, of the shape of the reference.
        tta_std: TTA standard deviation of the method.
        factor: calibration factor.

    Returns:
        The reliability curve and the summary over all bins.

    Raises:
        UserError: the TTA standard deviation belongs to another volume.
    """
    deviation, observed = foreground_errors(reference, prediction, tta_std)
    predicted = factor * deviation
    row = reference.identity
    means = (float(predicted.mean()), float(observed.mean()))
    correlation = rank_correlation(predicted, observed)
    summary = UncertaintySummary(row.id, row.subject, row.split, method, correlation, factor, *means, observed.size)
    names = (row.id, row.subject, row.split, method)
    curve = [ReliabilityBin(*names, index, *one) for index, one in enumerate(reliability_curve(predicted, observed))]
    return curve, summary


def reliability_curve(predicted: Floats, observed: Floats, bins: int = BINS) -> list[Bin]:
    """Compare predicted with observed errors in bins of equally many voxels.

    Args:
        predicted: expected absolute error of each voxel, shape (voxels,).
        observed: observed absolute error, of the same shape and unit.
        bins: maximum number of bins; none is empty.

    Returns:
        The bins by rising predicted error.
    """
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order)) or 1) if len(part)]
    return [Bin(_mean(predicted[part]), _mean(observed[part]), len(part)) for part in parts]


def rank_correlation(predicted: Floats, observed: Floats) -> float:
    """Return Spearman's rank correlation; NaN if either is constant."""
    if not len(predicted) or min(np.ptp(predicted), np.ptp(observed)) == 0:
        return float("nan")
    result: Any = stats.spearmanr(predicted, observed)
    return float(result.statistic)


def _mean(values: Floats) -> float:
    return float(np.mean(values, dtype=np.float64))
