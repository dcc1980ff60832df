"""High-frequency error norm (Ravishankar and Bresler, IEEE Transactions on Medical Imaging 30, 2011).

The error of edges and fine structure alone. The paper takes the norm of the filtered error; so that slices and regions
of any size compare, it is divided by that of the reference's own fine structure, as later works do.
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
RANGE = "error of edges and fine structure as a fraction of them; 1 where all of them are lost"
SOURCE = "Ravishankar and Bresler, IEEE Transactions on Medical Imaging 30:1028-1041, 2011"
DECIMALS = 3

SIDE, SIGMA = 15, 1.5
"""Of the paper's filter, a rotationally symmetric Laplacian of a Gaussian, in voxels."""


def _gaussians() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Gaussian along one axis, and its second derivative, both over the sum of the former."""
    offsets = np.arange(SIDE) - SIDE // 2
    gaussian = np.exp(-(offsets**2) / (2 * SIGMA**2))
    gaussian /= gaussian.sum()
    return gaussian, (offsets**2 - SIGMA**2) / SIGMA**4 * gaussian


def fine_structure(picture: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the Laplacian of the Gaussian-smoothed picture; beyond the border, its outermost voxels go on.

    The filter is that of MATLAB's fspecial, with which the paper's authors work: the cut Laplacian is shifted to a sum
    of zero, so that flat places have none.
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
    """Return the norm over the mask of the error's fine structure, divided by that of the reference's.

    Infinite where the reference has none and the estimate has some.
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
"""Fine structure below this is none: what is left of sums that should be zero."""
