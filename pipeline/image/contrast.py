"""Contrast of an image: quantiles of its normalised foreground."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS = (0.1, 0.5, 0.9)
ENOUGH_VOXELS = 2**22
"""Size of a volume above which only every n-th voxel along each axis is used."""


class Quantiles(NamedTuple):
    """Quantiles of the normalised intensities of the foreground."""

    tenth: float
    median: float
    ninetieth: float


def foreground_quantiles(data: NDArray, mask: NDArray[np.bool_]) -> Quantiles:
    """Return the 10 %, 50 % and 90 % quantiles of the foreground.

    Args:
        data: normalised intensities, shape (x, y, z).
        mask: foreground, same shape, not empty.
    """
    step = max(1, round((mask.size / ENOUGH_VOXELS) ** (1 / mask.ndim)))
    every = (slice(None, None, step),) * mask.ndim
    values = np.asarray(data[every])[np.asarray(mask[every])]
    if values.size == 0:
        values = np.asarray(data)[np.asarray(mask)]
    return Quantiles(*(float(value) for value in np.quantile(values, LEVELS)))
