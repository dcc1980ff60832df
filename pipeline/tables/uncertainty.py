"""metrics/uncertainty.csv: coverage of the prediction intervals of every volume, by level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Method, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class UncertaintySummary:
    """Prediction intervals of one level over the foreground of one volume."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    level: Annotated[float, Column("nominal coverage of the intervals, between 0 and 1")]
    coverage: Annotated[float, Column("share of voxels whose error is within the interval")]
    half_width: Annotated[float, Column("mean half-width of the intervals", "normalised range")]
    error: Annotated[float, Column("mean absolute error", "normalised range")]
    spearman: Annotated[float, Column("Spearman's rank correlation of half-width and absolute error")]
    voxels: Annotated[int, Column("number of foreground voxels")]


UNCERTAINTY = Table("coverage of prediction intervals", UncertaintySummary)
