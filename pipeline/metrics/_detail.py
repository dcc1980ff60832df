"""Common code of the three metrics of the detail ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.evaluation.detail_ledger import detail_shares

UNIT = ""
RANGE = "0 (none) to 1 (all), share of all detail in the reference or the restored image"
SOURCE = "after Aybar et al. 2024"
DECIMALS = 3


def share_of(kind: Literal["right", "missing", "invented"]) -> Callable[..., float]:
    """Return the function `per_slice` of a metric that is one of the `DetailShares`."""

    def per_slice(
        reference: NDArray[np.floating],
        estimate: NDArray[np.floating],
        mask: NDArray[np.bool_],
        data_range: float,
        lr: NDArray[np.floating],
    ) -> float:
        del data_range  # shares have no unit
        return getattr(detail_shares(reference, estimate, lr, mask), kind)

    return per_slice
