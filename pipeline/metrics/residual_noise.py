"""Residual noise in flat regions of the reference.

Noise of the reference cannot be distinguished from noise of the estimate: the value of a noiseless estimate is the
noise level of the reference, not zero.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

TITLE = "Residual noise"
UNIT = ""
HIGHER_IS_BETTER = False
PERFECT = 0.0
RANGE = "standard deviation of the high-pass filtered error in flat regions, as a fraction of the full range"
SOURCE = "this project"
DECIMALS = 4
SINGLE_PROPERTY = True

FLAT_SHARE = 0.3
"""Fraction of the voxels of the region, those with the smallest gradient of the smoothed reference, that are flat."""
SMOOTHING = 2.0
"""Standard deviation of the Gaussian that is subtracted as the low-pass part of the error, in voxels."""
PASSED = math.sqrt(1 - 1 / (math.pi * SMOOTHING**2) + 1 / (4 * math.pi * SMOOTHING**2))
"""Gain of this high-pass filter for white noise, with the Gaussian kernel G: sqrt(1 - 2 G(0) + sum of G^2)."""


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the standard deviation of the high-pass filtered error over the flattest voxels of the mask.

    For white noise of standard deviation s in the estimate, it is s / data_range.
    """
    expected = np.asarray(reference, dtype=np.float64)
    gradient = ndimage.gaussian_gradient_magnitude(expected, SMOOTHING)
    flat = mask & (gradient <= np.quantile(gradient[mask], FLAT_SHARE))
    error = np.asarray(estimate, dtype=np.float64) - expected
    fine = error - ndimage.gaussian_filter(error, SMOOTHING)
    return float(np.std(fine[flat])) / PASSED / data_range
