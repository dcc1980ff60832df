"""Figures as SVG inside data URIs: colours, styles, and matplotlib figures as compact files."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from typing import Any

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
"""Usual size of a figure."""

REPEATABLE = ("L", "Q", "C")
"""Commands of a path that need not be repeated."""


def plain(text: str) -> str:
    """Escape dollar signs, which matplotlib reads as formulas."""
    return text.replace("$", r"\$")


def empty_figure(size: tuple[float, float]) -> tuple[Any, Any]:
    """Return a figure of a size in inches, and its axes; call it inside matplotlib's `rc_context(SETTINGS)`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def as_uri(figure: Any) -> str:
    """Return a figure as a data URI, without date and program version, so that equal figures are equal files."""
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = re.sub(r'(?<= d=")[^"]*', _compact, buffer.getvalue().decode("utf-8"))
    svg = re.sub(r"<!--.*?-->|\n +", "\n", svg)
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def _compact(path: re.Match[str]) -> str:
    """Round the coordinates of a path to tenths of a point and omit repeated commands.

    This halves the size. A letter may be omitted where it repeats (Scalable Vector Graphics 1.1, section 8.3).
    """
    kept: list[str] = []
    command = ""
    for word in path[0].split():
        if word.isalpha() and word == command and word in REPEATABLE:
            continue
        command = word if word.isalpha() else command
        kept.append(word if word.isalpha() else f"{float(word):.1f}".removesuffix(".0"))
    return " ".join(kept)
