"""metrics/reliability.csv: observed errors of the delivered method, in bins of the half-width of its intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Method, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class ReliabilityBin:
    """Foreground voxels of one volume of similar half-width."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    bin: Annotated[int, Column("number of the bin, by rising half-width, from 0")]
    half_width: Annotated[float, Column("mean half-width of the 90 % prediction interval", "normalised range")]
    error: Annotated[float, Column("mean absolute error", "normalised range")]
    coverage: Annotated[float, Column("share of voxels whose error is within the interval")]
    voxels: Annotated[int, Column("number of voxels")]


RELIABILITY = Table("errors by half-width", ReliabilityBin)
