"""Multi-scale structural similarity (Wang, Simoncelli and Bovik, Asilomar Conference on Signals and Systems, 2003).

The five scales of the paper require 176 voxels along both axes. Smaller slices have fewer scales, whose exponents are
divided by their sum, as in the training loss of the same name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.errors import UserError
from pipeline.metrics._halving import halve, halve_mask
from pipeline.metrics.ssim import WINDOW_SIDE, WINDOW_SIGMA

TITLE = "MS-SSIM"
UNIT = ""
HIGHER_IS_BETTER = True
PERFECT = 1.0
RANGE = "0 to 1; 1 for identical images"
SOURCE = "Wang, Simoncelli and Bovik, Asilomar Conference on Signals, Systems and Computers, 2003"
DECIMALS = 3

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, from the finest to the coarsest."""
LUMINANCE, CONTRAST = 0.01, 0.03
"""The constants K1 and K2 of structural similarity, as fractions of the data range."""


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the product over the scales of the mean similarity over the mask, raised to the exponent of the scale.

    Contrast and structure contribute at every scale, luminance only at the coarsest. Negative means are set to zero.

    Raises:
        UserError: the slice is smaller than the window.
    """
    exponents = _exponents(reference.shape)
    one, other = (np.asarray(picture, dtype=np.float64) for picture in (reference, estimate))
    product = 1.0
    for scale, exponent in enumerate(exponents):
        if scale > 0:
            one, other, mask = halve(one), halve(other), halve_mask(mask)
        structure, luminance = similarity_maps(one, other, data_range)
        similarity = structure * luminance if scale == len(exponents) - 1 else structure
        product *= max(float(np.mean(similarity[mask])), 0.0) ** exponent
    return product


def similarity_maps(
    one: NDArray[np.float64], other: NDArray[np.float64], data_range: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the map of contrast and structure similarity, and the map of luminance similarity.

    Pictures are mirrored at the border. The product of the maps is the map of `ssim`.
    """
    mean, other_mean = _windowed(one), _windowed(other)
    variances = _windowed(one**2) - mean**2 + _windowed(other**2) - other_mean**2
    covariance = _windowed(one * other) - mean * other_mean
    c1, c2 = (LUMINANCE * data_range) ** 2, (CONTRAST * data_range) ** 2
    structure = (2 * covariance + c2) / (variances + c2)
    return structure, (2 * mean * other_mean + c1) / (mean**2 + other_mean**2 + c1)


def _windowed(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    return ndimage.gaussian_filter(picture, WINDOW_SIGMA, radius=WINDOW_SIDE // 2)


def _exponents(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the exponents of the scales at which the window fits into the slice, normalised to sum 1."""
    kept = [exponent for scale, exponent in enumerate(EXPONENTS) if min(shape) // 2**scale >= WINDOW_SIDE]
    if not kept:
        raise UserError(
            f"slices of {shape[0]} x {shape[1]} voxels are too small for MS-SSIM, whose window is {WINDOW_SIDE} voxels "
            "wide. Remove it from evaluate.metrics."
        )
    return np.array(kept) / sum(kept)
