"""Drawings of agreement between two measurements, as SVG inside data URIs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.reporting.figures.lines import INK, QUIET, SETTINGS, SIZE_INCHES, STYLES, as_uri, empty_figure, plain
from pipeline.statistics.bland_altman import Agreement


def draw_bland_altman(
    title: str, unit: str, reference: NDArray[np.floating], method: NDArray[np.floating], found: Agreement
) -> str:
    """Draw the difference to the reference over the reference, with bias and limits of agreement; return a data URI.

    The differences run over the reference rather than over the mean of both, since the reference is known here: against
    the mean, a method that errs more on large volumes would seem to err elsewhere.

    Args:
        title: of the drawing.
        unit: of both measurements.
        reference: what is true, shape (n,).
        method: what a method gave, shape (n,).
        found: what `bland_altman` gave for their differences; limits that are not known are not drawn.
    """
    from matplotlib import rc_context

    with rc_context(SETTINGS):
        figure, axes = empty_figure(SIZE_INCHES)
        axes.axhline(0, color=QUIET, linewidth=0.9)
        axes.plot(reference, method - reference, "o", color=STYLES["delivered"]["color"], markersize=5)
        lines = (("bias", found.bias, "-"), ("limit", found.limit_low, "--"), ("limit", found.limit_high, "--"))
        for name, place, style in lines:
            if math.isfinite(place):
                axes.axhline(place, color=STYLES["baseline"]["color"], linewidth=1.3, linestyle=style)
                words, where = f"{name} {place:+.3g}", (1.0, place)
                axes.annotate(words, where, xycoords=("axes fraction", "data"), ha="right", va="bottom", color=INK)
        axes.margins(y=0.15)
        axes.set(
            title=plain(title), xlabel=plain(f"reference ({unit})"), ylabel=plain(f"method minus reference ({unit})")
        )
        return as_uri(figure)
