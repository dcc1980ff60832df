"""Tables that a reader can sort: every cell knows the number behind its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

MISSING = "n/a"


@dataclass(frozen=True)
class Entry:
    """A cell.

    Attributes:
        text: as shown.
        number: what it is sorted by; None for text, NaN where nothing is known: these come last in either order.
        link: where the text leads; may be empty.
        kind: how it looks: "better", "worse", "failed" or empty.
        aside: shown below the text, smaller; may be empty.
        chip: a split whose mark is drawn around the text; may be empty.
    """

    text: str
    number: float | None = None
    link: str = ""
    kind: str = ""
    aside: str = ""
    chip: str = ""

    @property
    def key(self) -> str:
        """The number as the page's script reads it; empty where nothing is known."""
        return "" if self.number is None or pd.isna(self.number) else f"{self.number:.9g}"


@dataclass(frozen=True)
class Listing:
    """A table that can be sorted by each of its columns.

    Attributes:
        name: of the table, unlike those of all others on the page.
        caption: what it holds.
        headings: of the columns.
        rows: cells, as many as headings; the first names the row.
        sorted_by: the column by which the rows come sorted, the smallest first; -1 where by none.
    """

    name: str
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    sorted_by: int = -1

    def numeric(self, place: int) -> bool:
        """Return whether a column holds numbers."""
        return any(row[place].number is not None for row in self.rows)


def words(value: Any) -> str:
    """Write a cell of a file as text; an empty one as nothing."""
    return "" if value is None or (isinstance(value, float) and pd.isna(value)) else str(value)


def number(value: Any, decimals: int | None = None, *, sign: bool = False, unit: str = "") -> Entry:
    """Return a cell for a number, with a true minus sign.

    Args:
        value: the number; one that is not known is shown as such.
        decimals: digits after the point; four significant ones where it is None.
        sign: whether positive ones bear a plus.
        unit: written behind it.
    """
    found = float("nan") if value is None else float(value)
    if pd.isna(found):
        return Entry(MISSING, found)
    form = f"{'+' if sign else ''}{f'.{decimals}f' if decimals is not None else '.4g'}"
    return Entry(f"{found:{form}}{unit}".replace("-", "\N{MINUS SIGN}"), found)


def interval(low: Any, high: Any, decimals: int | None = None, *, sign: bool = True) -> str:
    """Write an interval; nothing where it is not known."""
    ends = (number(low, decimals, sign=sign), number(high, decimals, sign=sign))
    return "" if MISSING in (ends[0].text, ends[1].text) else f"[{ends[0].text}, {ends[1].text}]"
