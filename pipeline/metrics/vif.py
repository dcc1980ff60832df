"""Visual information fidelity in the pixel domain (Sheikh and Bovik, IEEE Transactions on Image Processing 15, 2006).

The pixel-domain form is the one of the authors' own code: four scales, Gaussian windows of 17, 9, 5 and 3 voxels.
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
RANGE = "0 to 1, the share of the reference's information that the image retains; above 1 where contrast was added"
SOURCE = "Sheikh and Bovik, IEEE Transactions on Image Processing 15:430-444, 2006"
DECIMALS = 3

WINDOW_SIDES = (17, 9, 5, 3)
"""Sides of the windows from the finest scale to the coarsest, each in voxels of its own scale."""
SMALLEST_SIDE = 41
"""Rows and columns below which the coarsest window does not fit."""
EYE_VARIANCE = 2.0
"""Variance of the noise of the eye, for intensities up to 255."""
TINY = 1e-8
"""Variances below this are none."""


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the information kept over the information there was, summed over the mask and all scales.

    A window counts where its centre lies in the mask. Windows lie inside the image, so that the outermost voxels are
    the centre of none. It is 1 where the reference holds no information.

    Raises:
        UserError: the slice is smaller than the windows, or its region so near to the border that no window counts.
    """
    if min(reference.shape) < SMALLEST_SIDE:
        raise UserError(
            f"slices of {reference.shape[0]} x {reference.shape[1]} voxels are too small for VIF, which needs "
            f"{SMALLEST_SIDE} voxels along both axes. Take it out of evaluate.metrics."
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
            f"VIF cannot be measured: the region lies within {WINDOW_SIDES[0] // 2} voxels of the border of a slice, "
            "where no window is centred. Take it out of evaluate.metrics."
        )
    return kept / present if present > 0 else PERFECT


def _information(
    reference: NDArray[np.float64], estimate: NDArray[np.float64], side: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the information of the estimate about the reference, and of the reference itself, at every window."""
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
    """Return the means under a Gaussian window, at every place where the window lies inside the picture."""
    offsets = np.arange(side) - side // 2
    # The authors' window has a standard deviation of a fifth of its side.
    weights = np.exp(-(offsets**2) / (2 * (side / 5) ** 2))
    weights /= weights.sum()
    return _centres(ndimage.correlate1d(ndimage.correlate1d(picture, weights, axis=0), weights, axis=1), side)


def _centres(picture: NDArray, side: int) -> NDArray:
    """Return the voxels around which a window of `side` voxels lies inside the picture."""
    reach = side // 2
    return picture[reach:-reach, reach:-reach]
