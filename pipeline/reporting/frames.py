"""Select rows and values of data frames."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd


def where(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Return the rows with the given values."""
    for name, value in values.items():
        table = cast(pd.DataFrame, table[table[name] == value])
    return table


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as plain mappings."""
    return cast(list[dict[str, Any]], table.to_dict("records"))


def distinct(table: pd.DataFrame, column: str) -> list[str]:
    """Return the different values of a column as text, in their order."""
    return [str(value) for value in dict.fromkeys(table[column].tolist())]
