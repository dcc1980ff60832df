"""Read the tables of a run, and select their rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from pipeline.errors import UserError

TEXT_COLUMNS = (
    *("volume", "subject", "split", "method", "region", "metric", "baseline"),
    *("gate", "passed", "kind", "tissue", "picture", "near_duplicate_of", "near_duplicate_split"),
    "near_duplicate_volume",
)
VOLUMES = ("volume", "subject", "split", "method", "region", "metric", "value")
SLICES = (*VOLUMES, "slice")
SUMMARY = (
    *("split", "method", "region", "metric", "n", "mean", "ci_low", "ci_high"),
    *("baseline", "diff", "diff_ci_low", "diff_ci_high", "p"),
)


def read_table(path: Path, columns: Sequence[str], separator: str = ",") -> pd.DataFrame:
    """Read a metric table.

    Raises:
        UserError: the file is missing, no table, or lacks one of `columns`.
    """
    try:
        texts: Any = dict.fromkeys(TEXT_COLUMNS, str)
        # A volume may be called nan; a number that is none is written so, too.
        names = pd.read_csv(path, sep=separator, nrows=0).columns
        nothing = {name: [""] if name in TEXT_COLUMNS else ["", "nan"] for name in names}
        table = pd.read_csv(path, sep=separator, dtype=texts, keep_default_na=False, na_values=nothing)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not a metric table: {error}. Delete it and run again.") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UserError(f"{path}: the column {missing[0]!r} is missing. Delete it and run again.")
    return table


def where(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Return the rows that hold the given values."""
    for name, value in values.items():
        table = cast(pd.DataFrame, table[table[name] == value])
    return table


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as plain mappings."""
    return cast(list[dict[str, Any]], table.to_dict("records"))


def distinct(table: pd.DataFrame, column: str) -> list[str]:
    """Return the different values of a column as text, in their order."""
    return [str(value) for value in dict.fromkeys(table[column].tolist())]
