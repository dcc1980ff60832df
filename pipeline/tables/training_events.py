"""models/<method>/events.csv: what the sentinel detected in a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class TrainingEvent:
    """One finding of the sentinel."""

    step: Annotated[int, Column("training steps taken before it")]
    kind: Annotated[str, Column("skipped_step, rolled_back or stopped")]
    what: Annotated[str, Column("the finding, in words")]
    value: Annotated[float, Column("the number behind it")]


EVENTS = Table("training events", TrainingEvent, advice="Delete the folder and train again.")
