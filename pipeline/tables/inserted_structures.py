"""metrics/inserted_structures.csv: how many inserted structures are detected after every method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import CiHigh, CiLow, Method, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table

Kind = Annotated[str, Column("kind of the structures, a module of pipeline.fidelity.insertion.kinds")]
SizeVoxels = Annotated[float, Column("size of the structures", "high-resolution voxels")]
Contrast = Annotated[float, Column("intensity added at the structures; negative is darker", "normalised range")]


@dataclass(frozen=True)
class InsertionCondition:
    """A volume restored by one method, with structures of one kind, size and contrast."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    kind: Kind
    size_voxels: SizeVoxels
    contrast: Contrast


@dataclass(frozen=True)
class DetectionCounts(InsertionCondition):
    """Counts over all draws of one condition."""

    inserted: Annotated[int, Column("number of inserted structures")]
    detected: Annotated[int, Column("number of structures that the observer detects")]
    false_alarms: Annotated[int, Column("number of the same places at which it detects one in the volume without")]
    d_prime: Annotated[float, Column("detectability index d' of the observer's responses")]
    auc: Annotated[float, Column("area under the ROC curve of the observer's responses")]
    size: Annotated[float, Column("size of the structures, in `unit`")]
    unit: Annotated[str, Column("unit of `size`: mm, um or pixel")]


@dataclass(frozen=True)
class InsertedStructures(DetectionCounts):
    """The counts, with the detection rate in this volume."""

    rate: Annotated[float, Column("detection rate: detected over inserted")]
    ci_low: CiLow
    ci_high: CiHigh


DETECTION_COUNTS = Table("counts of inserted structures", DetectionCounts, extensible=True)
"""One file a volume or shard, before intervals are known."""
INSERTED_STRUCTURES = Table("inserted structures", InsertedStructures)
