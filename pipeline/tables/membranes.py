"""metrics/membranes.csv: how well neurons are separated in every restored volume and in its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Method, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class NeuronSegmentation:
    """The segmentation of one block of a volume, restored by one method."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    block: Annotated[int, Column("number of the block within the evaluated part of the volume")]
    voi_split: Annotated[float, Column("variation of information: neurons that are divided", "bits")]
    voi_merge: Annotated[float, Column("variation of information: neurons that are joined", "bits")]
    voi: Annotated[float, Column("sum of both", "bits")]
    rand_error: Annotated[float, Column("adapted Rand error, from 0 to 1")]


MEMBRANES = Table("segmentations of neurons", NeuronSegmentation)
