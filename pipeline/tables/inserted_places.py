"""`inserted/*.places.csv`: the observer's decision on every inserted structure, from which intervals are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.inserted_structures import InsertionCondition
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class InsertedPlace(InsertionCondition):
    """One structure after one method."""

    draw: Annotated[int, Column("number of the draw, from 0")]
    slice: Annotated[int, Column("index of the slice among those of the study")]
    place: Annotated[int, Column("number of the place among those of its draw, kind and size")]
    detected: Annotated[int, Column("1 where the observer detects the structure, else 0")]
    false_alarm: Annotated[int, Column("1 where it detects one in the volume without structures, else 0")]


INSERTED_PLACES = Table("places of inserted structures", InsertedPlace)
