"""metrics/tissue_agreement.csv: bias and limits of agreement (Bland-Altman) of tissue volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import CiHigh, CiLow, Method, Split
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class TissueAgreement:
    """One tissue class over the subjects of a split."""

    split: Split
    method: Method
    tissue: Annotated[str, Column("tissue class")]
    n: Annotated[int, Column("number of subjects")]
    bias_ml: Annotated[float, Column("mean of restored minus reference", "ml")]
    bias_ci_low: CiLow
    bias_ci_high: CiHigh
    loa_low_ml: Annotated[float, Column("lower limit of agreement", "ml")]
    loa_high_ml: Annotated[float, Column("upper limit of agreement", "ml")]


TISSUE_AGREEMENT = Table("agreement of tissue volumes", TissueAgreement)
