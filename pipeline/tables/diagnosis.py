"""metrics/diagnosis.csv: whether a classifier assigns restored pictures the class of their reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import CiHigh, CiLow, Difference, Method, Split
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class DiagnosisRow:
    """Classification of the pictures of one split, restored by one method."""

    split: Split
    method: Method
    pictures: Annotated[int, Column("number of pictures")]
    accuracy: Annotated[float, Column("share of pictures that are assigned their true class")]
    agreement: Annotated[float, Column("share of pictures that are assigned the class of their reference")]
    agreement_ci_low: CiLow
    agreement_ci_high: CiHigh
    baseline: Annotated[str, Column("baseline with the best agreement on split val; empty without one")]
    diff: Difference
    diff_ci_low: CiLow
    diff_ci_high: CiHigh


DIAGNOSIS = Table("agreement of diagnoses", DiagnosisRow)
