"""The foreground: the head, or the tissue, as opposed to the background."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.blocks import in_memory_order, memory_order, undo_order
from pipeline.image.intensity import IntensityMap, robust_ends
from pipeline.image.runs import fill_holes, largest_part
from pipeline.image.smoothing import gaussian

SMOOTHING_VOXELS = 1.0
"""Standard deviation of the smoothing, which separates noise in the background from the head."""

BINS = 256
"""Of the histogram that Otsu's threshold is found in."""


def foreground_mask(data: NDArray) -> NDArray[np.bool_]:
    """Find the foreground of a volume from the volume alone.

    Half of Otsu's threshold of the smoothed volume (dark tissue still belongs to the head), the largest connected
    part, its holes filled slice by slice along every axis.

    Args:
        data: intensities, shape (x, y, z), any order in memory; background is dark.

    Returns:
        Boolean array of the same shape and order in memory.

    Raises:
        UserError: nothing stands out from the background.
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
    """Find the foreground of a 2-D picture from that picture alone: as `foreground_mask`, its holes filled.

    Args:
        picture: intensities, shape (rows, columns); background is dark.

    Returns:
        Boolean array of the same shape; nothing is foreground where nothing stands out.
    """
    if picture.min() == picture.max():
        return np.zeros(picture.shape, dtype=bool)
    return fill_holes(largest_part(bright_part(picture)[np.newaxis]), 0)[0]


def bright_part(data: NDArray, axes: Iterable[int] | None = None) -> NDArray[np.bool_]:
    """Find what lies above half of Otsu's threshold in the smoothed image.

    Half is measured from the image's low percentile, and values beyond its percentiles are limited to them, so that
    neither a constant added to the image nor a single hot or dead voxel changes the result.

    Args:
        data: intensities, not all the same, any order in memory; the background is dark.
        axes: along which it is smoothed; None for all.

    Returns:
        Boolean array of the same shape.
    """
    smooth = gaussian(_unit_range(data), SMOOTHING_VOXELS, axes)
    # To a histogram, the order of the memory is as good as that of the axes, and it needs no copy.
    return smooth > 0.5 * otsu_threshold(smooth.ravel(order="K"))


def _unit_range(data: NDArray) -> NDArray[np.float32]:
    """Map the image's low and high percentiles to 0 and 1, and limit what lies beyond."""
    values = data.ravel(order="K")
    low, high = robust_ends(values)
    if low == high:  # nearly all voxels have one value: what is left decides
        low, high = float(values.min()), float(values.max())
    scaled = IntensityMap(offset=low, scale=high - low).normalise(data)
    return np.clip(scaled, 0, 1, out=scaled)


def otsu_threshold(values: NDArray[np.float32]) -> np.float32:
    """Return the threshold that parts values into two classes with the largest variance between them.

    After Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9:62-66, 1979. It is that of scikit-image, sums in
    single precision included; loading that would take a good part of the time that a whole volume takes.

    Args:
        values: shape (count,), not all the same.
    """
    counts, edges = np.histogram(values, bins=BINS)
    centres, weights = (edges[:-1] + edges[1:]) / 2, counts.astype(np.float32)
    below, above = np.cumsum(weights), np.cumsum(weights[::-1])[::-1]
    mean_below = np.cumsum(weights * centres) / below
    mean_above = np.cumsum((weights * centres)[::-1])[::-1] / above
    variance = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return centres[np.argmax(variance)]
