"""Detail of the reference that is present in the restored image, see `pipeline.metrics.evaluation.detail_ledger`."""

from __future__ import annotations

from pipeline.metrics._detail import DECIMALS, RANGE, SOURCE, UNIT, share_of

TITLE = "Right detail"
HIGHER_IS_BETTER = True
PERFECT = 1.0
NEEDS_LR = True
SINGLE_PROPERTY = True

per_slice = share_of("right")

__all__ = ["DECIMALS", "HIGHER_IS_BETTER", "PERFECT", "RANGE", "SOURCE", "TITLE", "UNIT", "per_slice"]
