"""metrics/cells.csv: which cells are found in every slice of a restored volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Method, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class DetectedCells:
    """The cells of one slice of a volume, restored by one method."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    slice: Annotated[int, Column("index of the slice")]
    cells: Annotated[int, Column("number of cells in the reference")]
    found: Annotated[int, Column("number of cells in the restored slice")]
    matched: Annotated[int, Column("number of cells in both, at most a cell radius apart")]
    f1: Annotated[float, Column("F1 score, 2 matched / (cells + found)")]


CELLS = Table("cells by slice", DetectedCells)
