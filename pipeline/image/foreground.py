"""Find the foreground of an image: the head or the tissue, as opposed to the background."""

from __future__ import annotations

from collections.abc import Iterable

import cc3d
import fill_voids
import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from pipeline.errors import UserError
from pipeline.image.blocks import in_memory_order, memory_order, undo_order
from pipeline.image.intensity import IntensityMap, robust_ends
from pipeline.image.smoothing import gaussian

SMOOTHING_VOXELS = 1.0
"""Standard deviation of the smoothing, which suppresses noise in the background."""


def foreground_mask(data: NDArray) -> NDArray[np.bool_]:
    """Find the foreground of a volume from the volume alone.

    The smoothed volume is thresholded at half of Otsu's threshold, so that dark tissue belongs to the head. The largest
    connected part is kept, and its holes are filled slice by slice along every axis.

    Args:
        data: intensities, shape (x, y, z), any order in memory; background is dark.

    Returns:
        Boolean array of the same shape and order in memory.

    Raises:
        UserError: the image is constant or has no bright part.
    """
    if data.min() == data.max():
        raise UserError(f"every voxel is {data.min():g}; there is nothing in the image.")
    bright = bright_part(data)
    order = memory_order(bright)
    mask = largest_part(in_memory_order(bright))
    if not mask.any():
        raise UserError("no foreground was found: the image has no bright part.")
    for axis in range(data.ndim):
        mask = fill_holes(mask, order.index(axis))
    return undo_order(mask, order)


def picture_foreground(picture: NDArray) -> NDArray[np.bool_]:
    """Find the foreground of a 2-D picture from the picture alone; as `foreground_mask`, in two dimensions.

    Args:
        picture: intensities, shape (rows, columns); background is dark.

    Returns:
        Boolean array of the same shape; all False for a constant picture.
    """
    if picture.min() == picture.max():
        return np.zeros(picture.shape, dtype=bool)
    return fill_holes(largest_part(bright_part(picture)[np.newaxis]), 0)[0]


def bright_part(data: NDArray, axes: Iterable[int] | None = None) -> NDArray[np.bool_]:
    """Threshold the smoothed image at half of Otsu's threshold.

    Half is relative to the image's low percentile, and values are clipped to its percentiles, so that neither an offset
    nor a single hot or dead voxel changes the result.

    Args:
        data: intensities, not all the same, any order in memory; the background is dark.
        axes: axes along which the image is smoothed; None for all.

    Returns:
        Boolean array of the same shape.
    """
    smooth = gaussian(_unit_range(data), SMOOTHING_VOXELS, axes)
    # A histogram does not depend on the order of the values; the order in memory needs no copy.
    return smooth > 0.5 * threshold_otsu(smooth.ravel(order="K"))


def _unit_range(data: NDArray) -> NDArray[np.float32]:
    """Map the image's low and high percentiles to 0 and 1, and clip to this range."""
    values = data.ravel(order="K")
    low, high = robust_ends(values)
    if low == high:  # nearly all voxels have one value: use the full range
        low, high = float(values.min()), float(values.max())
    scaled = IntensityMap(offset=low, scale=high - low).normalise(data)
    return np.clip(scaled, 0, 1, out=scaled)


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part of a mask; the first one if several are equally large.

    Args:
        mask: shape (planes, rows, columns); voxels are connected by their faces.
    """
    labels = cc3d.connected_components(mask, connectivity=6)
    sizes = cc3d.statistics(labels, no_slice_conversion=True)["voxel_counts"][1:]
    return labels == np.argmax(sizes) + 1 if len(sizes) else mask.copy()


def fill_holes(mask: NDArray[np.bool_], slice_axis: int) -> NDArray[np.bool_]:
    """Fill the holes of a mask within each slice.

    Args:
        mask: shape (planes, rows, columns).
        slice_axis: axis along which the slices follow each other.
    """
    filled = np.empty_like(mask)
    for target, one in zip(np.moveaxis(filled, slice_axis, 0), np.moveaxis(mask, slice_axis, 0), strict=True):
        target[...] = fill_voids.fill(np.ascontiguousarray(one))
    return filled
