"""Bring an image with thick slices to one resolution along all axes, on an isotropic grid."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pipeline.config.parameters import FWHM_PER_SIGMA
from pipeline.image.image import Image
from pipeline.image.smoothing import gaussian

NEGLIGIBLE_VOXELS = 0.1
"""Standard deviation of a blur that changes nothing."""


def isotropic(image: Image, width_mm: float, step_mm: float, present_mm: float | None = None) -> Image:
    """Blur an image to one resolution along all axes, and resample it to an isotropic grid along its own axes.

    Args:
        image: intensities, shape (x, y, z); the affine is in mm and may be oblique.
        width_mm: full width at half maximum of the point spread function of the result; axes that are coarser already
            are not blurred.
        step_mm: voxel size of the result.
        present_mm: width of the present point spread function; None for the voxel size along each axis.

    Returns:
        Image of the same extent (the last voxel along an axis may be cut), float32, without masks.
    """
    spacing = np.array(image.spacing)
    present = spacing if present_mm is None else present_mm
    sigmas = np.sqrt(np.maximum(width_mm**2 - np.square(present), 0)) / FWHM_PER_SIGMA / spacing
    data = np.asarray(image.data, dtype=np.float32)
    for axis, sigma in enumerate(sigmas.tolist()):
        if sigma > NEGLIGIBLE_VOXELS:
            data = gaussian(data, sigma, [axis])
    scale = step_mm / spacing
    offset = (scale - 1) / 2
    shape = tuple(max(1, round(size)) for size in np.floor(np.array(data.shape) / scale + 1e-6).tolist())
    resampled = np.empty(shape, dtype=np.float32)
    ndimage.affine_transform(data, scale, offset, output=resampled, order=3, mode="nearest")  # pyright: ignore[reportArgumentType]
    change = np.diag([*scale, 1.0])
    change[:3, 3] = offset
    return Image(data=resampled, affine=image.affine @ change)
