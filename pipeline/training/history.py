"""The history of a training, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.files import replacing

COLUMNS = ("step", "learning_rate", "loss")


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one row a validation; an untrained network has none. `seconds` is the only column with a clock."""
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=COLUMNS)
    with replacing(path) as partial:
        table.to_csv(partial, index=False, float_format="%.9g", lineterminator="\n")
