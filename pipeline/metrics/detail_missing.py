"""Detail of the reference that was not added, as a share of all detail, see `pipeline.fidelity.ledger`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.fidelity.ledger import Shares
from pipeline.metrics._ledger import account

TITLE = "Missing detail"
UNIT = ""
HIGHER_IS_BETTER = False
PERFECT = 0.0
RANGE = "0 (none) to 1 (all), share of all detail in the reference or the result"
SOURCE = "after Aybar et al. 2024"
DECIMALS = 3
NEEDS_MEASURED = True
OF_ONE_PROPERTY = True
SHARED = account


def of_shared(found: Shares) -> float:
    """Return this metric's share of an account."""
    return found.missing


def per_slice(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    measured: NDArray[np.floating],
) -> float:
    """Return the share over a region; all arrays are of shape (rows, columns).

    Args:
        reference: slice of the reference, normalised.
        estimate: the same slice as a method restored it.
        mask: the region, not empty.
        data_range: does not matter: shares have no unit.
        measured: the measurement, interpolated to the same grid.
    """
    return of_shared(account(reference, estimate, mask, data_range, measured))
