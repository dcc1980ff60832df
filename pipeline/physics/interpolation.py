"""Interpolation by one matrix per axis, and interpolation along the axes that a network does not enlarge.

Networks restore slices. A volume that is low-resolution along all three axes has no slices at the positions of the
high-resolution grid. They are interpolated by cubic B-splines, so that a network receives slices that are
low-resolution in-plane and as blurred across the plane as the measurement. Training patches and volumes at inference
use the same weights.

Interpolation attenuates white noise and correlates it between neighbouring slices. The noise level (sigma) given to the
network is always that of the LR volume before interpolation, which a forward model records and which can be estimated
from an image. Its attenuation follows from the weights, which training and inference share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.physics.grid import apply_along_axes, padded_size

MIN_WEIGHT = 1e-3
"""Minimum weight. Smaller weights are dropped, so that an interpolated slice depends on few LR slices; the weights of
the cubic spline fall to a quarter from one slice to the next."""


def enlarge(
    lr: NDArray[np.floating], factors: Sequence[float], axis_matrix: Callable[[int, float], NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Upsample each axis whose factor is above 1 to the padded shape, see `pipeline.physics.grid.padded_shape`.

    Args:
        lr: array of any shape.
        factors: one per axis, each at least 1.
        axis_matrix: returns the interpolation along an axis of a size by a factor, of shape (padded size, size).
    """
    pairs = zip(lr.shape, factors, strict=True)
    matrices = [None if factor == 1 else axis_matrix(size, factor) for size, factor in pairs]
    return np.ascontiguousarray(apply_along_axes(matrices, lr), dtype=np.float32)


def fine_centres(size: int, factor: float) -> NDArray[np.float64]:
    """Return the positions of the voxels of the padded axis, in low-resolution voxels."""
    return (np.arange(padded_size(size, factor), dtype=np.float64) - (factor - 1) / 2) / factor


def bspline_matrix(size: int, factor: float) -> NDArray[np.float64]:
    """Return the cubic B-spline interpolation along one axis, of shape (padded size, size).

    Column j is the interpolating spline of a unit impulse at sample j, evaluated at the fine cell centres; the line is
    mirrored at its ends (Unser, Aldroubi and Eden, IEEE Transactions on Signal Processing 41:821-833, 1993).
    """
    centres = fine_centres(size, factor)
    columns = [ndimage.map_coordinates(unit, [centres], order=3, mode="mirror") for unit in np.eye(size)]
    return np.stack(columns, axis=1)


@lru_cache(maxsize=16)
def slice_weights(size: int, factor: int) -> NDArray[np.float64]:
    """Return the weights of LR slices in interpolated slices, shape (size * factor, size); every row sums to one.

    Args:
        size: number of LR slices.
        factor: interpolated slices per LR slice; 1 returns the identity.
    """
    weights = np.eye(size) if factor == 1 else bspline_matrix(size, factor)
    kept = np.where(np.abs(weights) >= MIN_WEIGHT, weights, 0)
    return kept / kept.sum(axis=1, keepdims=True)


def interpolate_slices(lr: NDArray[np.float32], factor: int, axis: int) -> NDArray[np.float32]:
    """Interpolate a low-resolution volume to `factor` times as many slices along one axis.

    Args:
        lr: normalised intensities, shape (x, y, z).
        factor: 1 returns the volume unchanged.
        axis: slice axis.
    """
    if factor == 1:
        return lr
    matrix = slice_weights(lr.shape[axis], factor)
    return apply_along_axes([matrix if other == axis else None for other in range(lr.ndim)], lr).astype(np.float32)
