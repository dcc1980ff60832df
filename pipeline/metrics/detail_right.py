"""Detail that was added as the truth has it, as a share of all detail, see `pipeline.fidelity.ledger`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.fidelity.ledger import shares

TITLE = "Right detail"
UNIT = ""
HIGHER_IS_BETTER = True
PERFECT = 1.0
RANGE = "0 (none) to 1 (all), share of all detail in the truth or the result"
SOURCE = "after Aybar et al. 2024"
DECIMALS = 3
NEEDS_MEASURED = True
OF_ONE_PROPERTY = True


def per_slice(
    truth: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    measured: NDArray[np.floating],
) -> float:
    """Returns the share over a region; all arrays are of shape (rows, columns).

    Args:
        truth: slice of the truth, normalised.
        estimate: the same slice as a method restored it.
        mask: the region, not empty.
        data_range: does not matter: shares have no unit.
        measured: the measurement, interpolated to the same grid.
    """
    del data_range
    return shares(truth, estimate, measured, mask).right
