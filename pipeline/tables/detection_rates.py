"""metrics/detection_rates.csv: detection rates of inserted structures, and differences from the delivered method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import CiHigh, CiLow, Method, Split
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class DetectionRate:
    """The detection rate of a method in one split; without kind, size or contrast it is pooled over all of them."""

    split: Split
    method: Method
    kind: Annotated[str, Column("kind of the structures; empty: all kinds")]
    size_voxels: Annotated[float, Column("size of the structures; empty: all sizes", "high-resolution voxels")]
    contrast: Annotated[float, Column("intensity added at the structures; empty: all contrasts", "normalised range")]
    subjects: Annotated[int, Column("number of subjects")]
    inserted: Annotated[int, Column("number of inserted structures")]
    detected: Annotated[int, Column("number of structures that the observer detects")]
    rate: Annotated[float, Column("detection rate: detected over inserted")]
    ci_low: CiLow
    ci_high: CiHigh
    false_alarm_rate: Annotated[float, Column("share of the same places with a false alarm")]
    delivered: Annotated[str, Column("the delivered method")]
    diff: Annotated[float, Column("paired difference of the rates: delivered method minus this one")]
    diff_ci_low: CiLow
    diff_ci_high: CiHigh
    net_diff: Annotated[float, Column("the same difference of rates net of false alarms (Youden's index)")]
    net_diff_ci_low: CiLow
    net_diff_ci_high: CiHigh


DETECTION_RATES = Table("detection rates", DetectionRate)
