"""Root mean squared error as a share of the reference's own strength (Fienup, Applied Optics 36:8352-8357, 1997)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

TITLE = "NRMSE"
UNIT = ""
HIGHER_IS_BETTER = False
PERFECT = 0.0
RANGE = "root mean squared error as a fraction of the reference's root mean square; 1 for an empty image"
SOURCE = "Fienup, Applied Optics 36:8352-8357, 1997"
DECIMALS = 4


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the root mean square of the error over the mask, divided by the reference's; infinite where that is 0."""
    del data_range
    inside = np.asarray(reference, dtype=np.float64)[mask]
    error, strength = (
        math.sqrt(np.mean(values**2)) for values in (inside - np.asarray(estimate, dtype=np.float64)[mask], inside)
    )
    if strength == 0:
        return PERFECT if error == 0 else math.inf
    return error / strength
