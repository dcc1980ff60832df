"""Haar wavelet-based perceptual similarity (Reisenhofer, Bosse, Kutyniok and Wiegand, Signal Processing 61, 2018).

The greyscale version; images are zero-padded, as in the authors' code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from pipeline.metrics._halving import halve, halve_mask

TITLE = "HaarPSI"
UNIT = ""
HIGHER_IS_BETTER = True
PERFECT = 1.0
RANGE = "0 to 1; 1 for identical images"
SOURCE = "Reisenhofer, Bosse, Kutyniok and Wiegand, Signal Processing: Image Communication 61:33-43, 2018"
DECIMALS = 3

STABILITY = 30.0
"""The constant C of the paper, for intensities up to 255."""
STEEPNESS = 4.2
"""The constant alpha of the paper."""
FINE_SIDES = (2, 4)
"""Sides of the compared wavelets, in voxels of the halved image."""
COARSE_SIDE = 8
"""Side of the wavelet whose response gives the weights."""


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the weighted similarity of the Haar wavelet coefficients; 1 if neither image has any structure."""
    one, other = (halve(picture) * (255 / data_range) for picture in (reference, estimate))
    counted = halve_mask(mask)
    total, weights = 0.0, 0.0
    for axis in (0, 1):
        weight = np.maximum(_response(one, COARSE_SIDE, axis), _response(other, COARSE_SIDE, axis))[counted]
        total += float(np.sum(special.expit(STEEPNESS * _similarity(one, other, axis)[counted]) * weight))
        weights += float(np.sum(weight))
    return float(special.logit(total / weights) / STEEPNESS) ** 2 if weights > 0 else PERFECT


def _similarity(one: NDArray[np.float64], other: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the mean similarity of the fine coefficients across one axis."""
    likeness = np.zeros(one.shape)
    for side in FINE_SIDES:
        a, b = _response(one, side, axis), _response(other, side, axis)
        likeness += (2 * a * b + STABILITY) / (a**2 + b**2 + STABILITY)
    return likeness / len(FINE_SIDES)


def _response(picture: NDArray[np.float64], side: int, axis: int) -> NDArray[np.float64]:
    """Return the magnitude of the Haar coefficients for edges across `axis`, at every voxel."""
    step = np.repeat([1.0, -1.0], side // 2)
    # An even filter has no central voxel; the authors' code shifts it by half a voxel towards the high end.
    across = ndimage.correlate1d(picture, step, axis, mode="constant", origin=-1)
    return np.abs(ndimage.correlate1d(across, np.full(side, 1 / side), 1 - axis, mode="constant", origin=-1))
