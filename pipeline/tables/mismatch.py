"""mismatch.csv: networks that were trained with one degradation, tested on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Metric, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class MismatchValue:
    """The value of a metric on one volume."""

    trained_on: Annotated[str, Column("degradation of the network's training data, or 'best baseline'")]
    tested_on: Annotated[str, Column("degradation of the volume")]
    volume: VolumeName
    metric: Metric
    value: Annotated[float, Column("value of the metric, in the unit of the metric")]


MISMATCH = Table("networks tested on other degradations", MismatchValue)
