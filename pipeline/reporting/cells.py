"""Cells that many tables of the pages share, and links to the pages of volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline.reporting.frames import distinct, records
from pipeline.reporting.numbers import format_interval, format_share
from pipeline.reporting.section import Cell
from pipeline.reporting.titles import TESTED, in_order, method_title, readable


def text_cell(value: Any, **more: Any) -> Cell:
    """Return the cell of a text; empty where it is missing."""
    return Cell("" if value is None or (isinstance(value, float) and pd.isna(value)) else str(value), **more)


def method_cell(method: str, deliver: str) -> Cell:
    """Return the cell of a method; the deliverable stands out."""
    return Cell(method_title(method), style="delivered" if method == deliver else "")


def split_cell(split: str) -> Cell:
    """Return the cell of a split."""
    return Cell(readable(split), split=str(split))


def share_cell(share: Any, low: Any = float("nan"), high: Any = float("nan")) -> Cell:
    """Return the cell of a share in percent with its interval."""
    interval = format_interval(100 * low, 100 * high, 0, sign=False)
    return Cell(format_share(share), 100 * share, interval=interval)


def difference_cell(value: Any, low: Any, high: Any, decimals: int | None = None, *, better: str = "") -> Cell:
    """Return the cell of a difference with its interval.

    Args:
        value: the difference.
        low: lower end of its interval.
        high: upper end.
        decimals: digits after the point; None gives four significant digits.
        better: CSS class by the interval, see `Column.verdict`; empty for none.
    """
    interval = format_interval(low, high, decimals)
    return Cell.of(value, decimals, sign=True, style="" if better == "unclear" else better, interval=interval)


def sorted_rows(table: pd.DataFrame, deliver: str) -> list[dict[str, Any]]:
    """Return rows of test splits in the order of the splits, in each the deliverable first."""
    order = in_order(distinct(table, "method"), deliver)[::-1]
    return sorted(records(table), key=lambda row: (TESTED.index(row["split"]), order.index(row["method"])))


def volume_links(volumes: Sequence[str], max_shown: int) -> Markup:
    """Return links to the pages of volumes, those beyond `max_shown` folded."""
    links = [Markup('<a href="{}.html">{}</a>').format(volume, volume) for volume in volumes]
    shown = Markup(", ").join(links[:max_shown])
    if len(links) <= max_shown:
        return shown
    folded = Markup('<details><summary>and {} more</summary><p class="names">{}</p></details>')
    return shown + Markup(" ") + folded.format(len(links) - max_shown, Markup(", ").join(links[max_shown:]))
