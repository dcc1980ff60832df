"""Voxels without a value: SPM and FSL write NaN where nothing was computed, mostly outside the brain.

They count as background, as does the declared padding of DICOM images. For computations they are filled with the lowest
value of the image; in results they are NaN, or the padding value, again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.errors import UserError

MASK = "missing"
"""Name of the mask of these voxels in an Image."""
ROUNDING = 1e-6
"""Overlap of two voxels that is ignored."""


def missing_voxels(data: NDArray) -> NDArray[np.bool_] | None:
    """Return the mask of NaN voxels, or None if there are none."""
    if data.dtype.kind != "f" or not np.isnan(np.sum(data)):
        return None
    missing = np.isnan(data)
    return missing if missing.any() else None


def filled(data: NDArray, missing: NDArray[np.bool_] | None) -> NDArray:
    """Fill missing voxels with the lowest value.

    Raises:
        UserError: every voxel is missing.
    """
    if missing is None:
        return data
    if missing.all():
        raise UserError("every voxel is NaN; there is nothing in the image.")
    return np.where(missing, data[~missing].min(), data)


def check_is_background(missing: NDArray[np.bool_], foreground: NDArray[np.bool_], slice_axis: int) -> None:
    """Check that no voxel inside the foreground is NaN.

    Args:
        missing: where the image is NaN, shape (x, y, z).
        foreground: same shape, without holes.
        slice_axis: axis along which the slices follow each other.

    Raises:
        UserError: a missing voxel lies in the foreground and is not connected to the sides of the slices.
    """
    inside = foreground & missing & ~connected_to_sides(missing, slice_axis)
    if inside.any():
        place = tuple(int(index[0]) for index in np.nonzero(inside))
        raise UserError(
            f"{int(np.count_nonzero(inside))} voxels inside the foreground are NaN, one of them at {place} (counted "
            "from 0 along x, y and z). NaN may mark the background alone: fill the holes, or mask them out."
        )


def connected_to_sides(mask: NDArray[np.bool_], slice_axis: int) -> NDArray[np.bool_]:
    """Return the connected parts of a mask, shape (x, y, z), that touch the sides of the slices."""
    parts = np.empty(mask.shape, dtype=np.int32)
    count = int(ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, mask.ndim), output=parts))  # pyright: ignore[reportArgumentType]
    outside = np.zeros(count + 1, dtype=bool)
    for axis in range(mask.ndim):
        if axis != slice_axis:
            outside[np.unique(np.take(parts, [0, -1], axis))] = True
    outside[0] = False
    return outside[parts]


def coarse_missing(missing: NDArray[np.bool_], factors: Sequence[float], shape: Sequence[int]) -> NDArray[np.bool_]:
    """Return the cells of a coarser grid in which all voxels are missing, also those that a cell covers in part.

    Args:
        missing: mask on the fine grid; beyond its ends, the last voxels are repeated.
        factors: fine voxels per coarse voxel along each axis, real numbers of at least 1.
        shape: of the coarse grid.
    """
    for axis, (factor, size) in enumerate(zip(factors, shape, strict=True)):
        if factor == 1:
            continue
        first, last = _touching(np.arange(size), factor)
        pairs = np.stack([first, last + 1], axis=1).ravel()
        padded = np.take(missing, np.minimum(np.arange(pairs[-1] + 1), missing.shape[axis] - 1), axis)
        missing = np.take(np.logical_and.reduceat(padded, pairs, axis), range(0, 2 * size, 2), axis)
    return missing


def fine_missing(missing: NDArray[np.bool_], factors: Sequence[float], shape: Sequence[int]) -> NDArray[np.bool_]:
    """Return the voxels of a finer grid that lie in missing cells alone, cropped to `shape`."""
    for axis, (factor, size) in enumerate(zip(factors, shape, strict=True)):
        first, last = _touching(np.arange(size), 1 / factor)
        missing = np.take(missing, first, axis) & np.take(missing, np.minimum(last, missing.shape[axis] - 1), axis)
    return missing


def _touching(cells: NDArray[np.intp], length: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first and the last unit cells that cells of a length overlap, apart from rounding."""
    first = np.floor(cells * length + ROUNDING).astype(int)
    return first, np.ceil((cells + 1) * length - ROUNDING).astype(int) - 1
