"""metrics/cell_agreement.csv: how many cells are found in the volumes that every method restored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import CiHigh, CiLow, Method, Split
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class CellAgreement:
    """Cells in all slices of the volumes of a split; intervals are t intervals over slices."""

    split: Split
    method: Method
    slices: Annotated[int, Column("number of slices with cells in the reference")]
    cells: Annotated[int, Column("number of cells in the reference")]
    found: Annotated[int, Column("number of cells in the restored slices")]
    precision: Annotated[float, Column("share of the found cells that are in the reference")]
    recall: Annotated[float, Column("share of the cells of the reference that are found")]
    f1: Annotated[float, Column("F1 score, mean over slices")]
    f1_ci_low: CiLow
    f1_ci_high: CiHigh
    baseline: Annotated[str, Column("baseline with the highest F1 score on these slices; empty without one")]
    diff: Annotated[float, Column("paired mean difference of f1: method minus baseline")]
    diff_ci_low: CiLow
    diff_ci_high: CiHigh


CELL_AGREEMENT = Table("agreement of detected cells", CellAgreement)
