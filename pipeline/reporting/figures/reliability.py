"""Reliability diagrams: observed coverage of prediction intervals, by nominal coverage and by half-width."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.models.error_intervals import MAP_LEVEL
from pipeline.reporting.figures.lines import Line, draw_lines
from pipeline.reporting.numbers import format_number, format_share
from pipeline.reporting.section import Figure


def by_person(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the coverage over persons, in which every person counts once, whatever their volumes.

    Args:
        table: rows of uncertainty.csv or reliability.csv of one method; those without voxels are left out.
        column: "level" or "bin", by which they are grouped.

    Returns:
        Columns of the group, then mean, low and high (coverage over persons), persons, and mean half_width and error.
    """
    table = table.loc[table["voxels"] > 0]
    values = ["coverage", "half_width", "error"]
    persons: Any = table.groupby([column, "subject"], as_index=False)[values].mean()
    groups: Any = persons.groupby(column, as_index=False)
    return groups.agg(
        mean=("coverage", "mean"),
        low=("coverage", "min"),
        high=("coverage", "max"),
        persons=("subject", "count"),
        half_width=("half_width", "mean"),
        error=("error", "mean"),
    )


def level_figure(levels: pd.DataFrame) -> Figure:
    """Draw the observed against the nominal coverage, with the range over persons.

    Args:
        levels: from `by_person`, by level.
    """
    title = "Nominal and observed coverage"
    nominal = levels["level"].to_numpy(float)
    ends = np.array([nominal.min(), nominal.max()])
    lines = [Line("nominal", ends, ends, "dashed"), _mean_line(nominal, levels)]
    image = draw_lines(title, "nominal coverage", "observed", lines, markers=True, whole_numbers=False)
    observed = ", ".join(
        f"{format_share(level)}: {format_share(mean, 1)}"
        for level, mean in zip(nominal, levels["mean"].to_numpy(float), strict=True)
    )
    return Figure(image, f"{title}. {observed}", _caption(levels))


def width_figure(bins: pd.DataFrame) -> Figure:
    """Draw the coverage of the intervals of a map against their half-width, with the range over persons.

    Args:
        bins: from `by_person`, by bin.
    """
    title = f"Coverage of {format_share(MAP_LEVEL)} intervals by half-width"
    widths = bins["half_width"].to_numpy(float)
    ends = np.array([widths.min(), widths.max()])
    lines = [Line("nominal", ends, np.full(2, MAP_LEVEL), "dashed"), _mean_line(widths, bins)]
    mean, low = (bins[name].to_numpy(float) for name in ("mean", "low"))
    image = draw_lines(
        title,
        "half-width (normalised)",
        "observed",
        lines,
        markers=True,
        whole_numbers=False,
        y_range=(min(0.5, low.min()), 1),
    )
    first, last = (format_number(value) for value in (widths[0], widths[-1]))
    lowest, highest = (format_share(end, 1) for end in (mean.min(), mean.max()))
    return Figure(image, f"{title}. Half-width {first} to {last}, coverage {lowest} to {highest}", _caption(bins))


def _mean_line(x: np.ndarray, table: pd.DataFrame) -> Line:
    low, mean, high = (table[name].to_numpy(float) for name in ("low", "mean", "high"))
    return Line("observed", x, mean, "delivered", band=(low, high))


def _caption(table: pd.DataFrame) -> str:
    persons = int(table["persons"].to_numpy().max())
    return f"Mean and range over {persons} persons." if persons > 1 else ""
