"""Slices where the axis across them is coarser as well: they are interpolated along it by cubic B-splines.

Networks sharpen slices. In a volume that is coarse along all three axes there are no slices at the places of the fine
grid, so that they are interpolated, and each network is shown what lies within them: coarse along rows and columns, and
as blurred across as the measurement is. Training patches and volumes that are restored are made by the same weights.

Interpolation makes white noise weaker and lets neighbouring slices share it. What a network is told is always the noise
of the measured volume, before it is interpolated: that is what a forward model states and what can be estimated from
an image, and the rest follows from the weights, which are the same in training and afterwards.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.baselines import bspline3
from pipeline.physics.grid import apply_along_axes

MIN_WEIGHT = 1e-3
"""Weights below this are left out, so that a slice is made of the few slices around it; the spline's fall to a quarter
from one slice to the next."""


@lru_cache(maxsize=16)
def weights_between(size: int, factor: int) -> NDArray[np.float64]:
    """Return the weights that make fine slices of coarse ones, shape (size * factor, size); every row adds up to one.

    Args:
        size: coarse slices.
        factor: fine slices per coarse one; 1 leaves the slices as they are.
    """
    weights = np.eye(size) if factor == 1 else bspline3.axis_matrix(size, factor)
    kept = np.where(np.abs(weights) >= MIN_WEIGHT, weights, 0)
    return kept / kept.sum(axis=1, keepdims=True)


def slices_between(lr: NDArray[np.float32], factor: int, axis: int) -> NDArray[np.float32]:
    """Return a low-resolution volume with `factor` times as many slices along one axis.

    Args:
        lr: normalised intensities, shape (x, y, z).
        factor: 1 returns the volume as it is.
        axis: along which the slices follow each other.
    """
    if factor == 1:
        return lr
    matrix = weights_between(lr.shape[axis], factor)
    return apply_along_axes([matrix if other == axis else None for other in range(lr.ndim)], lr).astype(np.float32)
