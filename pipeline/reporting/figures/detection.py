"""Detection rates of inserted structures against their size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.reporting.figures.lines import Line, draw_lines, lines_of_methods
from pipeline.reporting.frames import distinct
from pipeline.reporting.numbers import format_number, format_share
from pipeline.reporting.section import Figure
from pipeline.reporting.titles import readable

CONDITION = ["kind", "contrast"]


def detection_rates(counts: pd.DataFrame) -> pd.DataFrame:
    """Return the detection rate of every method under every condition.

    Args:
        counts: rows of inserted.csv; those of several volumes are added up.

    Returns:
        One row for each method, kind, contrast and size_voxels, with the columns inserted, detected, false_alarms and
        rate (from 0 to 1); conditions without structures are left out.
    """
    keys = ["method", *CONDITION, "size_voxels"]
    sums: Any = counts.groupby(keys, sort=True, as_index=False)[["inserted", "detected", "false_alarms"]].sum()
    sums = sums[sums["inserted"] > 0]
    return sums.assign(rate=sums["detected"] / sums["inserted"])


def detection_figures(counts: pd.DataFrame, methods: Sequence[str], deliver: str) -> tuple[Figure, ...]:
    """Draw the detection rate against the size, a figure for each kind and contrast of structure.

    Args:
        counts: rows of inserted.csv.
        methods: what is drawn; those without rows are left out.
        deliver: method of the deliverable.
    """
    rates: Any = detection_rates(counts)
    rates = rates[rates["method"].isin(methods)]
    return tuple(
        _figure(f"{readable(kind).capitalize()}, contrast {format_number(contrast, sign=True)}", rows, methods, deliver)
        for (kind, contrast), rows in rates.groupby(CONDITION, sort=True)
    )


def _figure(title: str, rates: pd.DataFrame, methods: Sequence[str], deliver: str) -> Figure:
    shown = [name for name in methods if name in distinct(rates, "method")]
    lines = lines_of_methods(rates, "size_voxels", "rate", shown, deliver)
    percent = [Line(one.label, one.x, 100 * one.y, one.style, one.colour) for one in lines]
    image = draw_lines(title, "size (high-resolution voxels)", "detected (%)", percent, markers=True, y_range=(-4, 104))
    rate = "; ".join(f"{line.label} {', '.join(format_share(value) for value in line.y)}" for line in lines)
    return Figure(image, f"{title}. Detection rate by increasing size: {rate}")
