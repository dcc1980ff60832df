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
    smooth = gaussian(np.asarray(data, dtype=np.float32), sigma=1.0, preserve_range=True)
    mask = smooth > 0.5 * threshold_otsu(smooth.ravel())
    labelled: Any = ndimage.label(mask)
    labels, count = labelled
    if count == 0:
        raise UserError("no foreground was found: the image has no bright part.")
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    mask = labels == int(np.argmax(sizes))
    for axis in range(mask.ndim):
        slices = np.moveaxis(mask, axis, 0)
        filled = np.stack([np.asarray(ndimage.binary_fill_holes(one)) for one in slices])
        mask = np.moveaxis(filled, 0, axis)
    return mask
