"""Bar plots as SVG inside data URIs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.reporting.figures.svg import INK, SETTINGS, SIZE_INCHES, STYLES, as_uri, empty_figure, plain

ROW_INCHES = 0.3
LIGHT = "#b7d8da"


def draw_bars(
    title: str,
    x_label: str,
    labels: Sequence[str],
    bars: Sequence[float],
    inner: Sequence[float] = (),
    legend: Sequence[str] = (),
) -> str:
    """Draw horizontal bars from top to bottom; return a data URI.

    Args:
        title: title of the plot.
        x_label: label of the horizontal axis.
        labels: labels of the bars.
        bars: lengths of the bars; NaN gives no bar.
        inner: lengths of narrow bars drawn over the bars; may be empty.
        legend: labels of bars and narrow bars.
    """
    from matplotlib import rc_context

    places = np.arange(len(labels))
    with rc_context({**SETTINGS, "axes.grid.axis": "x"}):
        figure, axes = empty_figure((SIZE_INCHES[0], 1.1 + ROW_INCHES * len(labels)))
        wide = LIGHT if len(inner) else STYLES["delivered"]["color"]
        axes.barh(places, np.nan_to_num(bars), height=0.7, color=wide, label=plain(legend[0]) if legend else None)
        if len(inner):
            colour = STYLES["delivered"]["color"]
            axes.barh(places, np.nan_to_num(inner), height=0.28, color=colour, label=plain(legend[1]))
            figure.legend(loc="outside lower left", ncols=2)
        axes.set_yticks(places, [plain(label) for label in labels])
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        figure.suptitle(plain(title), x=0.01, ha="left", size=10, weight="bold", color=INK)
        axes.set_xlabel(plain(x_label))
        return as_uri(figure)


@dataclass(frozen=True)
class BarGroup:
    """One row: its label, and the share of every part."""

    label: str
    shares: tuple[float, ...]


PART_COLOURS = ("#0b6e75", "#c9ced6", "#b42318")


def draw_bar_groups(title: str, label: str, parts: Sequence[str], groups: Sequence[BarGroup]) -> str:
    """Draw a group of bars for every method, with a bar for every part; return a data URI."""
    from matplotlib import rc_context

    with rc_context({**SETTINGS, "axes.grid.axis": "x"}):
        figure, axes = empty_figure((SIZE_INCHES[0], 1.0 + 1.7 * ROW_INCHES * len(groups)))
        height = 0.8 / len(parts)
        for number, part in enumerate(parts):
            places = np.arange(len(groups)) - 0.4 + height * (number + 0.5)
            shares = [one.shares[number] for one in groups]
            axes.barh(places, shares, height, color=PART_COLOURS[number % len(PART_COLOURS)], label=plain(part))
        axes.set_yticks(range(len(groups)), [plain(one.label) for one in groups])
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set(xlabel=plain(label))
        figure.suptitle(plain(title), x=0.01, ha="left", size=10, weight="bold", color=INK)
        figure.legend(loc="outside lower left", ncols=len(parts))
        return as_uri(figure)
