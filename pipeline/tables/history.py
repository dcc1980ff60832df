"""models/<method>/history.csv: learning rate, losses and validation results of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.tables.table import Column, Table

CLOCK = "seconds"
"""The column that differs between identical trainings: wall-clock time since the start."""


@dataclass(frozen=True)
class HistoryRow:
    """The columns that every history has; each loss term, metric and gradient norm has one more.

    Losses are means since the row before; validation results are empty where there was no validation.
    """

    step: Annotated[int, Column("training steps taken")]
    learning_rate: Annotated[float, Column("learning rate")]
    loss: Annotated[float, Column("total loss of the generator")]


HISTORY = Table("training histories", HistoryRow, extensible=True, advice="Delete the folder and train again.")


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the rows of a history; that of a network without training has none."""
    import pandas as pd

    HISTORY.write(path, pd.DataFrame(rows) if rows else HISTORY.frame())
