"""metrics/uncertainty.csv: how well the uncertainty map of every volume predicts the error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Method, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class UncertaintySummary:
    """Predicted and observed errors over the foreground of one volume."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    spearman: Annotated[float, Column("Spearman's rank correlation of predicted and observed errors")]
    factor: Annotated[float, Column("calibration factor: predicted error over TTA standard deviation")]
    predicted: Annotated[float, Column("mean predicted absolute error", "normalised range")]
    observed: Annotated[float, Column("mean observed absolute error", "normalised range")]
    voxels: Annotated[int, Column("number of foreground voxels")]


UNCERTAINTY = Table("summaries of uncertainty maps", UncertaintySummary)
