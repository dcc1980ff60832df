"""metrics/membrane_agreement.csv: how well every method lets neurons be separated, over the blocks of a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import CiHigh, CiLow, Method, Split
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class MembraneAgreement:
    """Means over all blocks of the volumes of a split; intervals are t intervals over blocks."""

    split: Split
    method: Method
    blocks: Annotated[int, Column("number of blocks")]
    voi_split: Annotated[float, Column("variation of information: neurons that are divided", "bits")]
    voi_merge: Annotated[float, Column("variation of information: neurons that are joined", "bits")]
    voi: Annotated[float, Column("variation of information, the sum of both", "bits")]
    voi_ci_low: CiLow
    voi_ci_high: CiHigh
    rand_error: Annotated[float, Column("adapted Rand error, from 0 to 1")]
    rand_error_ci_low: CiLow
    rand_error_ci_high: CiHigh
    baseline: Annotated[str, Column("baseline with the lowest voi on these blocks; empty without one")]
    diff: Annotated[float, Column("paired mean difference of voi: method minus baseline", "bits")]
    diff_ci_low: CiLow
    diff_ci_high: CiHigh


MEMBRANE_AGREEMENT = Table("agreement of segmentations of neurons", MembraneAgreement)
