"""Gradient magnitude similarity deviation (Xue, Zhang, Mou and Bovik, IEEE Transactions on Image Processing 23, 2014).

The standard deviation of the gradient similarity is large if an image is wrong in some places and right in others. The
metric is sensitive to errors that concentrate at edges, and insensitive to strong noise, whose errors are uniform.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.metrics._halving import halve, halve_mask

TITLE = "GMSD"
UNIT = ""
HIGHER_IS_BETTER = False
PERFECT = 0.0
RANGE = "0 for identical edges; about 0.35 at worst"
SOURCE = "Xue, Zhang, Mou and Bovik, IEEE Transactions on Image Processing 23:684-695, 2014"
DECIMALS = 3

STABILITY = 170 / 255**2
"""The constant T of the paper, converted from intensities up to 255."""


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the standard deviation of the gradient magnitude similarity over the mask, at half resolution."""
    one, other = (_gradient_magnitude(halve(picture) / data_range) for picture in (reference, estimate))
    similarity = (2 * one * other + STABILITY) / (one**2 + other**2 + STABILITY)
    return float(np.std(similarity[halve_mask(mask)]))


def _gradient_magnitude(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gradient magnitude by the Prewitt operator, zero-padded as in the code of the paper."""
    gradients = (ndimage.prewitt(picture, axis, mode="constant") / 3 for axis in (0, 1))
    return np.hypot(*gradients)
