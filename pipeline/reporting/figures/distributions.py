"""How a measure is spread over volumes: every method's values, and their paired differences to the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.reporting.figures.lines import INK, QUIET, SETTINGS, STYLES, as_uri, empty_figure, plain

FEWEST_FOR_A_BOX = 5
"""Quartiles of fewer values would be little more than these themselves."""
BOX, TICKS = 0.3, 0.22
"""Half the height of a box and of the strokes, in rows."""
MAX_TICKS = 5
"""Intervals between the numbers below a panel; more of them would run into each other."""
WIDTH, ROW, MARGINS = 8.6, 0.34, 1.0
"""Size of a drawing, in inches."""


@dataclass(frozen=True)
class Spread:
    """One row of a drawing.

    Attributes:
        label: the method.
        values: of the volumes (or slices), shape (n,).
        differences: paired, to the baseline, shape (n,).
        mean: of the differences, as the summary gives it.
        low: lower end of its interval, NaN where it is not known.
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


def draw_spreads(title: str, label: str, difference_label: str, rows: Sequence[Spread]) -> str:
    """Draw two panels side by side, a row a method; return a data URI.

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
    """Draw a short stroke for every value, all of a row as one line: half a thousand shapes less."""
    usable = np.unique(values[np.isfinite(values)])
    x = np.repeat(usable, 3)
    y = np.tile([place - TICKS, place + TICKS, math.nan], usable.size)
    axes.plot(x, y, color=colour, linewidth=0.9, alpha=0.55)


def _box(axes: Any, values: NDArray[np.floating], place: int, colour: str) -> None:
    usable = values[np.isfinite(values)]
    if usable.size < FEWEST_FOR_A_BOX:
        return
    low, middle, high = np.quantile(usable, [0.25, 0.5, 0.75])
    top, bottom = place - BOX, place + BOX
    axes.fill([low, high, high, low], [top, top, bottom, bottom], facecolor=colour, alpha=0.15, linewidth=0)
    axes.plot([low, high, high, low, low], [top, top, bottom, bottom, top], color=colour, linewidth=1.0)
    axes.plot([middle, middle], [top, bottom], color=colour, linewidth=2.2)


def _mean(axes: Any, row: Spread, place: int, colour: str) -> None:
    if np.isfinite(row.low) and np.isfinite(row.high):
        axes.plot([row.low, row.high], [place, place], color=INK, linewidth=2.2, solid_capstyle="butt")
    if np.isfinite(row.mean):
        axes.plot([row.mean], [place], "o", color=colour, markeredgecolor=INK, markersize=6)


@dataclass(frozen=True)
class Bar:
    """One row of shares: the method, and the share of every part."""

    label: str
    shares: tuple[float, ...]


PART_COLOURS = ("#0b6e75", "#c9ced6", "#b42318")


def draw_bars(title: str, label: str, parts: Sequence[str], bars: Sequence[Bar]) -> str:
    """Draw one group of bars a method, a bar a part; return a data URI."""
    from matplotlib import rc_context

    with rc_context({**SETTINGS, "axes.grid.axis": "x"}):
        figure, axes = empty_figure((WIDTH / 2, MARGINS + 1.5 * ROW * len(bars)))
        height = 0.8 / len(parts)
        for number, part in enumerate(parts):
            places = np.arange(len(bars)) - 0.4 + height * (number + 0.5)
            shares = [bar.shares[number] for bar in bars]
            axes.barh(places, shares, height, color=PART_COLOURS[number % len(PART_COLOURS)], label=plain(part))
        axes.set_yticks(range(len(bars)), [plain(bar.label) for bar in bars])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set(xlabel=plain(label))
        figure.suptitle(plain(title), x=0.01, ha="left", size=10, weight="bold", color=INK)
        figure.legend(loc="outside lower left", ncols=len(parts))
        return as_uri(figure)


@dataclass(frozen=True)
class Course:
    """One line of points: its name, where its points are, and its style."""

    label: str
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    style: str
    colour: str = ""


def draw_courses(title: str, x_label: str, y_label: str, lines: Sequence[Course], *, diagonal: bool = False) -> str:
    """Draw points joined by lines; return a data URI.

    Args:
        title: of the drawing.
        x_label: what runs from left to right.
        y_label: what runs upward.
        lines: what is drawn.
        diagonal: whether a line is drawn on which both are equal; otherwise the values are shares from 0 to 1.
    """
    from matplotlib import rc_context

    with rc_context({**SETTINGS, "axes.grid.axis": "both"}):
        figure, axes = empty_figure((WIDTH / 2, 3.1 + 0.2 * len(lines)))
        if diagonal:
            top = max((float(np.max([line.x.max(), line.y.max()])) for line in lines), default=1.0)
            axes.plot([0, top], [0, top], color=QUIET, linewidth=1.0, linestyle=(0, (4, 2)), label="as predicted")
        else:
            axes.set_ylim(-0.04, 1.04)
            axes.set_xticks(np.unique(np.concatenate([line.x for line in lines])))
        for line in lines:
            colour = line.colour or STYLES[line.style]["color"]
            axes.plot(line.x, line.y, "-o", color=colour, linewidth=STYLES[line.style]["linewidth"], markersize=4)
            axes.plot([], [], "-o", color=colour, markersize=4, label=plain(line.label))
        axes.set(title=plain(title), xlabel=plain(x_label), ylabel=plain(y_label))
        figure.legend(loc="outside lower left", ncols=2)
        return as_uri(figure)
