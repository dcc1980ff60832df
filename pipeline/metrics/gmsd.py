"""Gradient magnitude similarity deviation (Xue, Zhang, Mou and Bovik, IEEE Transactions on Image Processing 23, 2014).

Where an image is wrong in some places and right in others, the deviation of its likeness is large. It is the measure
to ask whether errors gather at edges. It is not the one for strong noise: what is wrong everywhere deviates little.
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
RANGE = "0 for images whose edges are the same; about 0.35 at the worst"
SOURCE = "Xue, Zhang, Mou and Bovik, IEEE Transactions on Image Processing 23:684-695, 2014"
DECIMALS = 3

STABILITY = 170 / 255**2
"""The constant T of the paper, which is given there for intensities up to 255."""


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the standard deviation over the mask of the similarity of gradient magnitudes, at half resolution."""
    one, other = (_gradient_magnitude(halve(picture) / data_range) for picture in (reference, estimate))
    similarity = (2 * one * other + STABILITY) / (one**2 + other**2 + STABILITY)
    return float(np.std(similarity[halve_mask(mask)]))


def _gradient_magnitude(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length of the gradient by Prewitt's operator, with zeros beyond the border as in the paper's code."""
    gradients = (ndimage.prewitt(picture, axis, mode="constant") / 3 for axis in (0, 1))
    return np.hypot(*gradients)
