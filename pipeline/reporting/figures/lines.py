"""Line drawings for the pages, as SVG inside data URIs. The same numbers give the same bytes."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.reporting.titles import method_style, method_title, network_colours

INK, QUIET, GRID = "#1d2733", "#667085", "#e4e7ec"
STYLES: Mapping[str, Mapping[str, Any]] = {
    "delivered": {"color": "#0b6e75", "linewidth": 2.0, "linestyle": "-"},
    "baseline": {"color": "#b45309", "linewidth": 1.6, "linestyle": "-"},
    "network": {"color": "#667085", "linewidth": 1.4, "linestyle": (0, (4, 2))},
    "reference": {"color": "#1d2733", "linewidth": 1.2, "linestyle": (0, (1, 1.2))},
    "input": {"color": "#8c5fa8", "linewidth": 1.2, "linestyle": "-"},
    "part": {"color": "#0072b2", "linewidth": 1.2, "linestyle": "-"},
    "dashed": {"color": "#667085", "linewidth": 1.2, "linestyle": (0, (4, 2))},
}
PART_COLOURS = ("#0072b2", "#d55e00", "#8c5fa8", "#2e7d32", "#b8860b", "#8b1a4a", "#4d4d4d")
"""For lines that stand for parts of one thing; they differ in lightness too, for readers who see few colours."""

MARK_STYLES: Mapping[str, Mapping[str, Any]] = {
    "skipped_step": {"color": "#b45309", "linewidth": 1.1, "linestyle": (0, (2.5, 1.2))},
    "rolled_back": {"color": "#b42318", "linewidth": 1.2, "linestyle": "-"},
    "stopped": {"color": "#1d2733", "linewidth": 1.6, "linestyle": "-"},
    "other": {"color": "#475467", "linewidth": 0.9, "linestyle": (0, (5, 1.5, 1, 1.5))},
}
MAX_FULL_MARKS, TICK_HEIGHT = 30, 0.08
"""More marks of a kind would hide the curves; they only reach this share of the height."""

MAX_MARKS = 200
"""More marks of a kind than this cannot be told apart on a drawing; those that fall together are drawn once."""

SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "brainsr",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
SIZE_INCHES = (4.6, 3.1)
LEGEND_ROWS, LEGEND_ROW_INCHES = 3, 0.19
"""Legends with more rows than this make the drawing higher, so that they take nothing from the axes."""

REPEATABLE = ("L", "Q", "C")
"""Commands of a path whose letter need not be repeated."""


@dataclass(frozen=True)
class Line:
    """One line of a drawing.

    Attributes:
        label: what it shows.
        x: places of its points.
        y: their values.
        style: a key of `STYLES`.
        colour: replaces that of the style, unless empty.
        band: lowest and highest value behind every point, drawn as a pale band; None where there is none.
    """

    label: str
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    style: str
    colour: str = ""
    band: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None


@dataclass(frozen=True)
class Marks:
    """Vertical lines: what happened (a key of `MARK_STYLES`, or another word), how it is called, and where."""

    kind: str
    label: str
    places: tuple[float, ...]


def lines_of_methods(table: pd.DataFrame, x: str, y: str, methods: Sequence[str], deliver: str) -> list[Line]:
    """Return a line for every method, through the values of two columns of a table sorted by the first.

    Args:
        table: with the column method and both columns.
        x: column that runs from left to right.
        y: column that runs upward.
        methods: what is drawn, in this order.
        deliver: method of the deliverable.
    """
    networks = [name for name in methods if method_style(name, deliver) == "network"]
    colours = network_colours(networks)
    lines = []
    for method in methods:
        rows = table.loc[table["method"] == method].sort_values(x)
        places, values = (rows[name].to_numpy(float) for name in (x, y))
        style, colour = method_style(method, deliver), colours.get(method, "")
        lines.append(Line(method_title(method), places, values, style, colour))
    return lines


def draw_lines(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Line],
    *,
    marks: Sequence[Marks] = (),
    logarithmic: bool = False,
    whole_numbers: bool = True,
    markers: bool = False,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Draw lines over a common axis; return a data URI.

    Args:
        title: of the drawing.
        x_label: what runs from left to right.
        y_label: what runs upward.
        lines: what is drawn; values that are not finite are left out.
        marks: events, as vertical lines over the whole height.
        logarithmic: whether the values are drawn on a logarithmic axis; those that are not positive are left out.
        whole_numbers: whether only whole numbers are written below the axis from left to right.
        markers: whether every point is marked, except on dashed lines.
        y_range: ends of the axis that runs upward; None fits it to the lines.
    """
    from matplotlib import rc_context

    entries = len(lines) + len(marks)
    columns = 1 if entries <= LEGEND_ROWS else 2
    height = SIZE_INCHES[1] + LEGEND_ROW_INCHES * max(0, -(-entries // columns) - LEGEND_ROWS)
    with rc_context(SETTINGS):
        figure, axes = empty_figure((SIZE_INCHES[0], height))
        if logarithmic:
            axes.set_yscale("log")
        if y_range is not None:
            axes.set_ylim(*y_range)
        for line in lines:
            _draw_line(axes, line, logarithmic, markers and line.style != "dashed")
        for mark in marks:
            _draw_marks(axes, mark)
        axes.set(title=plain(title), xlabel=plain(x_label), ylabel=plain(y_label))
        axes.xaxis.get_major_locator().set_params(integer=whole_numbers)
        if entries > 1:
            figure.legend(loc="outside lower left", ncols=columns, handlelength=2.6)
        return as_uri(figure)


def _draw_line(axes: Any, line: Line, logarithmic: bool, markers: bool) -> None:
    style = {**STYLES[line.style], **({"color": line.colour} if line.colour else {})}
    if markers:
        style = {**style, "marker": "o", "markersize": 4, "linestyle": "-"}
    usable = np.isfinite(line.y) & ((line.y > 0) | (not logarithmic))
    if line.band is not None:
        low, high = (edge[usable] for edge in line.band)
        low = np.maximum(low, np.min(line.y[usable], initial=np.inf)) if logarithmic else low
        axes.fill_between(line.x[usable], low, high, color=style["color"], alpha=0.16, linewidth=0)
    axes.plot(line.x[usable], line.y[usable], label=plain(line.label), **style)
    if np.count_nonzero(usable) == 1:
        axes.plot(line.x[usable], line.y[usable], "o", color=style["color"])


def _draw_marks(axes: Any, marks: Marks) -> None:
    """Draw vertical lines behind the curves, short ones where they are many; the axis stays as the curves made it."""
    low, high = axes.get_xlim()
    places = np.unique(np.asarray(marks.places, dtype=float))
    places = places[(places >= low) & (places <= high)]
    cells = np.floor((places - low) / (high - low) * MAX_MARKS)
    places = places[np.unique(cells, return_index=True)[1]]
    x = np.repeat(places, 3)
    y = np.tile([0.0, 1.0 if places.size <= MAX_FULL_MARKS else TICK_HEIGHT, np.nan], places.size)
    style = MARK_STYLES.get(marks.kind, MARK_STYLES["other"])
    axes.plot(
        x,
        y,
        transform=axes.get_xaxis_transform(),
        label=plain(marks.label),
        scalex=False,
        scaley=False,
        zorder=1,
        **style,
    )


def plain(text: str) -> str:
    """Keep dollar signs in names from being read as formulas."""
    return text.replace("$", r"\$")


def empty_figure(size: tuple[float, float]) -> tuple[Any, Any]:
    """Return a figure of a size in inches, and its axes; to be called inside matplotlib's `rc_context(SETTINGS)`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def as_uri(figure: Any) -> str:
    """Write a figure without date or program version, of which the first would change with every run."""
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = re.sub(r'(?<= d=")[^"]*', _compact, buffer.getvalue().decode("utf-8"))
    svg = re.sub(r"<!--.*?-->|\n +", "\n", svg)
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def _compact(path: re.Match[str]) -> str:
    """Round the coordinates of a path to tenths of a point, which no screen shows, and repeats no command.

    It halves the drawing. A letter may be left out where it stays the same (Scalable Vector Graphics 1.1, section 8.3).
    """
    kept: list[str] = []
    command = ""
    for word in path[0].split():
        if word.isalpha() and word == command and word in REPEATABLE:
            continue
        command = word if word.isalpha() else command
        kept.append(word if word.isalpha() else f"{float(word):.1f}".removesuffix(".0"))
    return " ".join(kept)
