"""Visual information fidelity in the pixel domain (Sheikh and Bovik, IEEE Transactions on Image Processing 15, 2006).

The pixel-domain version of the authors' code: four scales, Gaussian windows of 17, 9, 5 and 3 voxels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.errors import UserError

TITLE = "VIF"
UNIT = ""
HIGHER_IS_BETTER = True
PERFECT = 1.0
RANGE = "0 to 1, the fraction of the information of the reference that is retained; above 1 if contrast is enhanced"
SOURCE = "Sheikh and Bovik, IEEE Transactions on Image Processing 15:430-444, 2006"
DECIMALS = 3

WINDOW_SIDES = (17, 9, 5, 3)
"""Sides of the windows from the finest to the coarsest scale, in voxels of the scale."""
MIN_SIDE = 41
"""Minimum number of rows and columns, for which the window fits at the coarsest scale."""
EYE_VARIANCE = 2.0
"""Variance of the visual noise, for intensities up to 255."""
TINY = 1e-8
"""Minimum variance; smaller variances are treated as zero."""


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the retained information divided by that of the reference, summed over the mask and all scales.

    All windows with their centre in the mask contribute. Windows lie inside the image, so no window is centred on the
    outermost voxels. The value is 1 if the reference contains no information.

    Raises:
        UserError: the slice is smaller than the windows, or the region is too close to the border for any window.
    """
    if min(reference.shape) < MIN_SIDE:
        raise UserError(
            f"slices of {reference.shape[0]} x {reference.shape[1]} voxels are too small for VIF, which requires "
            f"{MIN_SIDE} voxels along both axes. Remove it from evaluate.metrics."
        )
    one, other = (np.asarray(picture, dtype=np.float64) * (255 / data_range) for picture in (reference, estimate))
    kept, present, windows = 0.0, 0.0, 0
    for scale, side in enumerate(WINDOW_SIDES):
        if scale > 0:
            one, other = (_windowed(picture, side)[::2, ::2] for picture in (one, other))
            mask = _centres(mask, side)[::2, ::2]
        counted = _centres(mask, side)
        of_estimate, of_reference = _information(one, other, side)
        kept += float(np.sum(of_estimate[counted]))
        present += float(np.sum(of_reference[counted]))
        windows += int(np.count_nonzero(counted))
    if windows == 0:
        raise UserError(
            f"VIF cannot be computed: the region lies within {WINDOW_SIDES[0] // 2} voxels of the border of a slice, "
            "where no window is centred. Remove it from evaluate.metrics."
        )
    return kept / present if present > 0 else PERFECT


def _information(
    reference: NDArray[np.float64], estimate: NDArray[np.float64], side: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the information about the reference in the estimate, and in the reference itself, for every window."""
    mean, other_mean = _windowed(reference, side), _windowed(estimate, side)
    variance = np.maximum(_windowed(reference**2, side) - mean**2, 0)
    other_variance = np.maximum(_windowed(estimate**2, side) - other_mean**2, 0)
    covariance = _windowed(reference * estimate, side) - mean * other_mean
    related = (variance >= TINY) & (other_variance >= TINY)
    gain = np.where(related, np.maximum(covariance, 0) / (variance + TINY), 0)
    blur_noise = np.maximum(other_variance - gain * covariance, TINY)
    seen = np.where(variance >= TINY, variance, 0)
    return np.log1p(gain**2 * seen / (blur_noise + EYE_VARIANCE)), np.log1p(seen / EYE_VARIANCE)


def _windowed(picture: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return the means under a Gaussian window for all windows inside the picture."""
    offsets = np.arange(side) - side // 2
    # In the authors' code, the standard deviation of the window is a fifth of its side.
    weights = np.exp(-(offsets**2) / (2 * (side / 5) ** 2))
    weights /= weights.sum()
    return _centres(ndimage.correlate1d(ndimage.correlate1d(picture, weights, axis=0), weights, axis=1), side)


def _centres(picture: NDArray, side: int) -> NDArray:
    """Return the central voxels of all windows of side `side` inside the picture."""
    reach = side // 2
    return picture[reach:-reach, reach:-reach]
