"""Normalised root mean squared error (Fienup, Applied Optics 36:8352-8357, 1997)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

TITLE = "NRMSE"
UNIT = ""
HIGHER_IS_BETTER = False
PERFECT = 0.0
RANGE = "root mean squared error divided by the root mean square of the reference; 1 for an image of zeros"
SOURCE = "Fienup, Applied Optics 36:8352-8357, 1997"
DECIMALS = 4


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the RMS error over the mask divided by the RMS of the reference; infinite if only the latter is 0."""
    del data_range
    inside = np.asarray(reference, dtype=np.float64)[mask]
    error, strength = (
        math.sqrt(np.mean(values**2)) for values in (inside - np.asarray(estimate, dtype=np.float64)[mask], inside)
    )
    if strength == 0:
        return PERFECT if error == 0 else math.inf
    return error / strength
