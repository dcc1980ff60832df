"""Line drawings for the pages, as SVG inside data URIs. The same numbers give the same bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

INK, QUIET, GRID = "#1d2733", "#667085", "#e4e7ec"
STYLES: Mapping[str, Mapping[str, Any]] = {
    "delivered": {"color": "#0b6e75", "linewidth": 2.0, "linestyle": "-"},
    "baseline": {"color": "#b45309", "linewidth": 1.6, "linestyle": "-"},
    "network": {"color": "#667085", "linewidth": 1.4, "linestyle": (0, (4, 2))},
}
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


@dataclass(frozen=True)
class Line:
    """One line of a drawing: what it shows, its points, and the key of its style in `STYLES`."""

    label: str
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    style: str


@dataclass(frozen=True)
class Interval:
    """One row of an interval drawing: a point, the ends of its interval (NaN where unknown), and its style."""

    label: str
    value: float
    low: float
    high: float
    style: str


def draw_lines(title: str, x_label: str, y_label: str, lines: Sequence[Line]) -> str:
    """Draws lines over a common axis; returns a data URI. Values that are not finite are left out."""
    from matplotlib import rc_context

    with rc_context(SETTINGS):
        figure, axes = _empty(SIZE_INCHES)
        for line in lines:
            usable = np.isfinite(line.y)
            axes.plot(line.x[usable], line.y[usable], label=plain(line.label), **STYLES[line.style])
            if np.count_nonzero(usable) == 1:
                axes.plot(line.x[usable], line.y[usable], "o", color=STYLES[line.style]["color"])
        axes.set(title=plain(title), xlabel=plain(x_label), ylabel=plain(y_label))
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(lines) > 1:
            figure.legend(loc="outside lower left", ncols=1, handlelength=2.6)
        return _as_uri(figure)


def draw_intervals(title: str, x_label: str, rows: Sequence[Interval]) -> str:
    """Draws points with their intervals, one row each, around a line at zero; returns a data URI."""
    from matplotlib import rc_context

    with rc_context({**SETTINGS, "axes.grid.axis": "x"}):
        figure, axes = _empty((SIZE_INCHES[0], 0.9 + 0.32 * len(rows)))
        axes.axvline(0, color=QUIET, linewidth=0.9)
        for place, row in enumerate(rows):
            colour = STYLES[row.style]["color"]
            if np.isfinite(row.low) and np.isfinite(row.high):
                axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
            if np.isfinite(row.value):
                axes.plot([row.value], [place], "o", color=colour, markersize=5)
        axes.set_yticks(range(len(rows)), [plain(row.label) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        figure.suptitle(plain(title), x=0.01, ha="left", size=10, weight="bold", color=INK)
        figure.supxlabel(plain(x_label), size=9, color=INK)
        return _as_uri(figure)


def plain(text: str) -> str:
    """Keeps dollar signs in names from being read as formulas."""
    return text.replace("$", r"\$")


def _empty(size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def _as_uri(figure: Any) -> str:
    """Writes a figure without date or program version, of which the first would change with every run."""
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
