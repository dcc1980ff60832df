"""Added detail that is not in the reference, see `pipeline.metrics.evaluation.detail_ledger`."""

from __future__ import annotations

from pipeline.metrics._detail import DECIMALS, RANGE, SOURCE, UNIT, share_of

TITLE = "Invented detail"
HIGHER_IS_BETTER = False
PERFECT = 0.0
NEEDS_LR = True
SINGLE_PROPERTY = True

per_slice = share_of("invented")

__all__ = ["DECIMALS", "HIGHER_IS_BETTER", "PERFECT", "RANGE", "SOURCE", "TITLE", "UNIT", "per_slice"]
