"""Detail of the reference that is missing from the restored image, see `pipeline.metrics.evaluation.detail_ledger`."""

from __future__ import annotations

from pipeline.metrics._detail import DECIMALS, RANGE, SOURCE, UNIT, share_of

TITLE = "Missing detail"
HIGHER_IS_BETTER = False
PERFECT = 0.0
NEEDS_LR = True
SINGLE_PROPERTY = True

per_slice = share_of("missing")

__all__ = ["DECIMALS", "HIGHER_IS_BETTER", "PERFECT", "RANGE", "SOURCE", "TITLE", "UNIT", "per_slice"]
