"""metrics/reliability.csv: predicted against observed absolute errors, in bins of the predicted error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Method, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class ReliabilityBin:
    """Foreground voxels of one volume with similar predicted errors."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    bin: Annotated[int, Column("number of the bin, by rising predicted error, from 0")]
    predicted: Annotated[float, Column("mean predicted absolute error", "normalised range")]
    observed: Annotated[float, Column("mean observed absolute error", "normalised range")]
    voxels: Annotated[int, Column("number of voxels")]


RELIABILITY = Table("predicted and observed errors", ReliabilityBin)
