"""Structural similarity (Wang, Bovik, Sheikh and Simoncelli, IEEE Transactions on Image Processing 13, 2004)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from pipeline.errors import UserError

TITLE = "SSIM"
UNIT = ""
HIGHER_IS_BETTER = True
PERFECT = 1.0
RANGE = "-1 to 1; 1 for identical images"
SOURCE = "Wang, Bovik, Sheikh and Simoncelli, IEEE Transactions on Image Processing 13:600-612, 2004"
DECIMALS = 3

WINDOW_SIGMA = 1.5
"""Standard deviation of the Gaussian window of the paper, in voxels."""
WINDOW_SIDE = 11
"""Side of this window, in voxels."""
PLANE_AXES = 2


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the mean of `per_voxel` over the mask.

    The window may extend beyond the mask, since the neighbourhood of a voxel is part of its structure.
    """
    return float(np.mean(per_voxel(reference, estimate, data_range)[mask]))


def per_voxel(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], data_range: float
) -> NDArray[np.float64]:
    """Return the map of structural similarity.

    Raises:
        UserError: the slice (or the volume, for `ssim_3d`) is smaller than the window.
    """
    if min(reference.shape) < WINDOW_SIDE:
        name = "ssim" if reference.ndim == PLANE_AXES else "ssim_3d"
        raise UserError(
            f"{' x '.join(map(str, reference.shape))} voxels are too few for {name}, whose window is "
            f"{WINDOW_SIDE} voxels wide. Remove it from evaluate.metrics."
        )
    result = structural_similarity(
        np.asarray(reference, dtype=np.float64),
        np.asarray(estimate, dtype=np.float64),
        data_range=data_range,
        gaussian_weights=True,
        sigma=WINDOW_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return np.asarray(result[1])
