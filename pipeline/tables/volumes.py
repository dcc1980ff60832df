"""metrics/volumes.csv: the value of every metric on every volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Method, Metric, Region, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class VolumeValue:
    """The value of a metric on one volume: of the volume as a whole, or the mean over its slices."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    region: Region
    metric: Metric
    value: Annotated[float, Column("value of the metric, in the unit of the metric")]


VOLUMES = Table("values of metrics on volumes", VolumeValue)
