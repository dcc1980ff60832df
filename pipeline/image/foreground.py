"""The head, or the tissue, as against air."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import gaussian, threshold_otsu

from pipeline.errors import UserError


def foreground_mask(data: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Finds the foreground of a volume from the volume alone.

    Half of Otsu's threshold of the smoothed volume (dark tissue still belongs to the head), the largest connected
    part, its holes filled slice by slice along every axis.

    Args:
        data: intensities, shape (x, y, z); air is dark.

    Returns:
        Boolean array of the same shape.

    Raises:
        UserError: nothing stands out from the background.
    """
    if data.min() == data.max():
        raise UserError(f"every voxel is {data.min():g}; there is nothing in the image.")
    mask = _largest_bright_part(data)
    if mask is None:
        raise UserError("no foreground was found: the image has no bright part.")
    for axis in range(mask.ndim):
        slices = np.moveaxis(mask, axis, 0)
        filled = np.stack([np.asarray(ndimage.binary_fill_holes(one)) for one in slices])
        mask = np.moveaxis(filled, 0, axis)
    return mask


def picture_foreground(picture: NDArray) -> NDArray[np.bool_]:
    """Finds the foreground of a 2-D picture from that picture alone: as `foreground_mask`, its holes filled.

    Args:
        picture: intensities, shape (rows, columns); air is dark.

    Returns:
        Boolean array of the same shape; nothing is foreground where nothing stands out.
    """
    empty = np.zeros(picture.shape, dtype=bool)
    mask = None if picture.min() == picture.max() else _largest_bright_part(picture)
    return empty if mask is None else np.asarray(ndimage.binary_fill_holes(mask))


def _largest_bright_part(data: NDArray) -> NDArray[np.bool_] | None:
    """The largest connected part above half of Otsu's threshold of the smoothed image; None where there is none."""
    smooth = gaussian(np.asarray(data, dtype=np.float32), sigma=1.0, preserve_range=True)
    labelled: Any = ndimage.label(smooth > 0.5 * threshold_otsu(smooth.ravel()))
    labels, count = labelled
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == int(np.argmax(sizes))
