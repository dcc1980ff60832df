"""`metrics/slices.csv`: the value of every metric on every slice; `metrics/parts/*.csv` have those of volumes too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Method, Metric, Region, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table

WHOLE_VOLUME = -1
"""Slice index of a metric that is computed over the volume as a whole."""


@dataclass(frozen=True)
class SliceValue:
    """The value of a metric on one slice, or on the volume where the slice is `WHOLE_VOLUME`."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    region: Region
    metric: Metric
    slice: Annotated[int, Column("index of the slice in the volume; -1 for the volume as a whole")]
    value: Annotated[float, Column("value of the metric, in the unit of the metric")]


SLICES = Table("values of metrics on slices", SliceValue)
