"""High-frequency error norm (Ravishankar and Bresler, IEEE Transactions on Medical Imaging 30, 2011).

The error of edges and fine structure. The paper uses the norm of the filtered error. Here it is divided by the norm of
the filtered reference, as in later works, so that values are comparable between slices and regions of any size.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

TITLE = "HFEN"
UNIT = ""
HIGHER_IS_BETTER = False
PERFECT = 0.0
RANGE = "relative error of edges and fine structure; 1 if they are lost completely"
SOURCE = "Ravishankar and Bresler, IEEE Transactions on Medical Imaging 30:1028-1041, 2011"
DECIMALS = 3

SIDE, SIGMA = 15, 1.5
"""Side and sigma of the filter of the paper, a rotationally symmetric Laplacian of Gaussian, in voxels."""


def _gaussians() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 1-D Gaussian and its second derivative, both divided by the sum of the Gaussian."""
    offsets = np.arange(SIDE) - SIDE // 2
    gaussian = np.exp(-(offsets**2) / (2 * SIGMA**2))
    gaussian /= gaussian.sum()
    return gaussian, (offsets**2 - SIGMA**2) / SIGMA**4 * gaussian


def fine_structure(picture: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the Laplacian of Gaussian of a picture, whose border voxels are replicated.

    The filter is that of MATLAB's fspecial, which the authors of the paper use: the truncated Laplacian is shifted to
    zero sum, so that the response to constants is zero.
    """
    values = np.asarray(picture, dtype=np.float64)
    gaussian, curved = _gaussians()

    def filtered(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return ndimage.correlate1d(ndimage.correlate1d(values, rows, 0, mode="nearest"), columns, 1, mode="nearest")

    remainder = 2 * gaussian.sum() * curved.sum() / SIDE**2
    ones = np.ones(SIDE)
    return filtered(curved, gaussian) + filtered(gaussian, curved) - remainder * filtered(ones, ones)


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the norm over the mask of the filtered error, divided by that of the filtered reference.

    It is infinite if only the estimate has fine structure.
    """
    del data_range
    expected = fine_structure(reference)[mask]
    error, strength = (
        math.sqrt(np.mean(values**2)) for values in (fine_structure(estimate)[mask] - expected, expected)
    )
    if strength <= ROUNDING:
        return PERFECT if error <= ROUNDING else math.inf
    return error / strength


ROUNDING = 1e-12
"""Maximum root mean square that is attributed to rounding and treated as zero."""
