"""Line plots as SVG inside data URIs; the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.reporting.figures.svg import SETTINGS, SIZE_INCHES, STYLES, as_uri, empty_figure, plain
from pipeline.reporting.titles import method_style, method_title, network_colours

PART_COLOURS = ("#0072b2", "#d55e00", "#8c5fa8", "#2e7d32", "#b8860b", "#8b1a4a", "#4d4d4d")
"""Colours of several lines of one network; they also differ in lightness, for readers with colour blindness."""

MARK_STYLES: Mapping[str, Mapping[str, Any]] = {
    "skipped_step": {"color": "#b45309", "linewidth": 1.1, "linestyle": (0, (2.5, 1.2))},
    "rolled_back": {"color": "#b42318", "linewidth": 1.2, "linestyle": "-"},
    "stopped": {"color": "#1d2733", "linewidth": 1.6, "linestyle": "-"},
    "other": {"color": "#475467", "linewidth": 0.9, "linestyle": (0, (5, 1.5, 1, 1.5))},
}
MAX_FULL_MARKS, TICK_HEIGHT = 30, 0.08
"""Maximum number of marks of a kind over the whole height, and the share of the height that more marks have."""

MAX_MARKS = 200
"""Maximum number of marks of a kind: marks that would coincide are drawn once."""

LEGEND_ROWS, LEGEND_ROW_INCHES = 3, 0.19
"""Rows of a legend that fit into a figure of the usual size; more rows make it higher."""


@dataclass(frozen=True)
class Line:
    """A line.

    Attributes:
        label: in the legend.
        x: horizontal coordinates of its points.
        y: vertical coordinates.
        style: a key of `STYLES`.
        colour: replaces the colour of the style; empty to keep it.
        band: minimum and maximum behind every point, drawn as a pale band; None for no band.
    """

    label: str
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    style: str
    colour: str = ""
    band: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None


@dataclass(frozen=True)
class Marks:
    """Vertical lines: the kind of event (a key of `MARK_STYLES`, or any other), its label, and its places."""

    kind: str
    label: str
    places: tuple[float, ...]


def lines_of_methods(table: pd.DataFrame, x: str, y: str, methods: Sequence[str], deliver: str) -> list[Line]:
    """Return a line for every method, through the values of two columns of a table sorted by the first.

    Args:
        table: with the column method and both columns.
        x: column of the horizontal coordinates.
        y: column of the vertical coordinates.
        methods: methods, in the order of the legend.
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
    """Plot lines; return a data URI.

    Args:
        title: title of the plot.
        x_label: label of the horizontal axis.
        y_label: label of the vertical axis.
        lines: lines; values that are not finite are omitted.
        marks: events, as vertical lines.
        logarithmic: whether the vertical axis is logarithmic; values that are not positive are omitted.
        whole_numbers: whether the horizontal axis has ticks at whole numbers only.
        markers: whether points have markers, except on dashed lines.
        y_range: limits of the vertical axis; None fits them to the lines.
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
    """Draw vertical lines behind the curves, short ones where there are many, without changing the axes."""
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
