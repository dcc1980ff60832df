"""The shares of the detail ledger, which three metrics take from one account of a slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.fidelity.ledger import Shares, shares


def account(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    measured: NDArray[np.floating],
) -> Shares:
    """Return the shares over a region; arguments as of `per_slice` in `pipeline.metrics.detail_right`."""
    del data_range
    return shares(reference, estimate, measured, mask)
