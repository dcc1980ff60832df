"""Noise that is left where the reference is flat.

The reference's own noise cannot be told from noise in the estimate: a smoother image than the reference scores what the
reference holds, not zero.
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
RANGE = "standard deviation of the fine-grained error where the reference is flat, as a fraction of the full range"
SOURCE = "this project"
DECIMALS = 4
OF_ONE_PROPERTY = True

FLATTEST = 0.3
"""Share of the region's voxels that counts as flat, by the gradient of the smoothed reference."""
SMOOTHING = 2.0
"""Standard deviation of the Gaussian below whose detail an error counts as noise, in voxels."""
PASSED = math.sqrt(1 - 1 / (math.pi * SMOOTHING**2) + 1 / (4 * math.pi * SMOOTHING**2))
"""Share of white noise that is left when its Gaussian mean G is taken away: sqrt(1 - 2 G(0) + sum of G^2)."""


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the standard deviation of the error's fine part over the flattest voxels of the mask.

    White noise of standard deviation s in the estimate gives s / data_range.
    """
    expected = np.asarray(reference, dtype=np.float64)
    gradient = ndimage.gaussian_gradient_magnitude(expected, SMOOTHING)
    flat = mask & (gradient <= np.quantile(gradient[mask], FLATTEST))
    error = np.asarray(estimate, dtype=np.float64) - expected
    fine = error - ndimage.gaussian_filter(error, SMOOTHING)
    return float(np.std(fine[flat])) / PASSED / data_range
