"""Distributions of a metric over volumes: values of every method, and their paired differences from the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.reporting.figures.svg import INK, QUIET, SETTINGS, STYLES, as_uri, plain

MIN_FOR_A_BOX = 5
"""Minimum number of values for which quartiles are drawn."""
BOX, TICKS = 0.3, 0.22
"""Half the height of a box and of the strokes, in rows."""
MAX_TICKS = 5
"""Maximum number of intervals between ticks, so that their labels do not overlap."""
WIDTH, ROW, MARGINS = 8.6, 0.34, 1.0
"""Size in inches: width, height of a row, margins."""


@dataclass(frozen=True)
class Distribution:
    """One row.

    Attributes:
        label: the method.
        values: of the volumes (or slices), shape (n,).
        differences: paired, to the baseline, shape (n,).
        mean: mean difference, from the summary.
        low: lower end of its confidence interval; NaN for none.
        high: upper end.
        style: a key of `STYLES`.
    """

    label: str
    values: NDArray[np.floating]
    differences: NDArray[np.floating]
    mean: float
    low: float
    high: float
    style: str


def draw_distributions(title: str, label: str, difference_label: str, rows: Sequence[Distribution]) -> str:
    """Draw two panels side by side, with a row for every method; return a data URI.

    Left: a stroke for every value, with box from the lower to the upper quartile and a line at the median where there
    are enough values. Right: a stroke for every paired difference, the mean as a point with its interval, around zero.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**SETTINGS, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(WIDTH, MARGINS + ROW * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        right.axvline(0, color=QUIET, linewidth=0.9)
        for place, row in enumerate(rows):
            colour = STYLES[row.style]["color"]
            _strokes(left, row.values, place, colour)
            _box(left, row.values, place, colour)
            if np.any(row.differences):
                _strokes(right, row.differences, place, colour)
            _mean(right, row, place, colour)
        left.set_yticks(range(len(rows)), [plain(row.label) for row in rows])
        left.set_ylim(len(rows) - 0.5, -0.5)
        for axes, words in ((left, label), (right, difference_label)):
            axes.set_xlabel(plain(words))
            axes.xaxis.get_major_locator().set_params(nbins=MAX_TICKS)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
        figure.suptitle(plain(title), x=0.01, ha="left", size=10, weight="bold", color=INK)
        return as_uri(figure)


def _strokes(axes: Any, values: NDArray[np.floating], place: int, colour: str) -> None:
    """Draw a short stroke for every value; all strokes of a row are one line, which keeps the file small."""
    usable = np.unique(values[np.isfinite(values)])
    x = np.repeat(usable, 3)
    y = np.tile([place - TICKS, place + TICKS, math.nan], usable.size)
    axes.plot(x, y, color=colour, linewidth=0.9, alpha=0.55)


def _box(axes: Any, values: NDArray[np.floating], place: int, colour: str) -> None:
    usable = values[np.isfinite(values)]
    if usable.size < MIN_FOR_A_BOX:
        return
    low, middle, high = np.quantile(usable, [0.25, 0.5, 0.75])
    top, bottom = place - BOX, place + BOX
    axes.fill([low, high, high, low], [top, top, bottom, bottom], facecolor=colour, alpha=0.15, linewidth=0)
    axes.plot([low, high, high, low, low], [top, top, bottom, bottom, top], color=colour, linewidth=1.0)
    axes.plot([middle, middle], [top, bottom], color=colour, linewidth=2.2)


def _mean(axes: Any, row: Distribution, place: int, colour: str) -> None:
    if np.isfinite(row.low) and np.isfinite(row.high):
        axes.plot([row.low, row.high], [place, place], color=INK, linewidth=2.2, solid_capstyle="butt")
    if np.isfinite(row.mean):
        axes.plot([row.mean], [place], "o", color=colour, markeredgecolor=INK, markersize=6)
