"""metrics/tissue.csv: volumes of tissue classes in every restored volume and in its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Method, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class TissueVolume:
    """One tissue class of one restored volume."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    tissue: Annotated[str, Column("tissue class; dark, medium or bright where tissues are not named")]
    reference_ml: Annotated[float, Column("its volume in the reference", "ml")]
    method_ml: Annotated[float, Column("its volume in the restored volume", "ml")]
    dice: Annotated[float, Column("Dice overlap with the reference; empty where both are empty")]


TISSUE = Table("tissue volumes", TissueVolume)
