"""Fidelity dial of a network: PSNR against perceptual distance, and the chosen setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.reporting.figures.svg import GRID, INK, SETTINGS, SIZE_INCHES, as_uri, empty_figure
from pipeline.reporting.numbers import format_number
from pipeline.reporting.section import Figure
from pipeline.tables.dial import DialSetting

ACCENT = "#0b6e75"
MIN_LABEL_DISTANCE = 0.07
"""Minimum distance between labelled points as a fraction of the axes; closer labels would overlap."""

CAPTION = (
    "Each point is a network whose weights are interpolated between the start (alpha = 0) and the end (alpha = 1) of "
    "this training. Higher points are closer to the reference by PSNR, points further left are closer in VGG feature "
    "space. Filled points meet the limits on PSNR and data consistency, hollow points do not. The circled point was "
    "chosen, on the validation volumes."
)


def dial_figure(settings: Sequence[DialSetting], title: str) -> Figure:
    """Draw PSNR against perceptual distance, with points connected in the order of alpha.

    Args:
        settings: settings sorted by alpha; those with values that are not finite are left out.
        title: title of the network.
    """
    usable = [setting for setting in settings if np.isfinite([setting.psnr, setting.perceptual]).all()]
    words = "; ".join(
        f"alpha {format_number(setting.alpha)}: {format_number(setting.psnr, 2, unit='dB')} at distance "
        f"{format_number(setting.perceptual)}"
        f"{'' if setting.allowed else ', not allowed'}{', chosen' if setting.chosen else ''}"
        for setting in usable
    )
    return Figure(_draw(usable), f"{title}, fidelity dial. {words}", CAPTION)


def _draw(settings: Sequence[DialSetting]) -> str:
    from matplotlib import rc_context

    with rc_context({**SETTINGS, "axes.grid.axis": "both"}):
        figure, axes = empty_figure(SIZE_INCHES)
        x, y = ([getattr(setting, name) for setting in settings] for name in ("perceptual", "psnr"))
        axes.margins(0.12)
        axes.plot(x, y, color=ACCENT, linewidth=1.4, zorder=2)
        for setting in settings:
            face = ACCENT if setting.allowed else "white"
            axes.plot(setting.perceptual, setting.psnr, "o", color=ACCENT, markerfacecolor=face, markersize=5, zorder=3)
            if setting.chosen:
                axes.plot(
                    setting.perceptual,
                    setting.psnr,
                    "o",
                    markersize=12,
                    markerfacecolor="none",
                    color="#b45309",
                    mew=1.6,
                )
        _label(axes, settings)
        axes.set(title="Fidelity dial", xlabel="Perceptual distance", ylabel="PSNR (dB)")
        axes.grid(color=GRID)
        return as_uri(figure)


def _label(axes: Any, settings: Sequence[DialSetting]) -> None:
    """Label the chosen setting, both ends, and others where there is room with their alpha."""
    ends = {id(setting) for setting in (*settings[:1], *settings[-1:])}
    order = sorted(settings, key=lambda setting: (not setting.chosen, id(setting) not in ends, setting.alpha))
    taken: list[Any] = []
    for setting in order:
        place = axes.transAxes.inverted().transform(axes.transData.transform((setting.perceptual, setting.psnr)))
        if any(np.hypot(*(place - other)) < MIN_LABEL_DISTANCE for other in taken):
            continue
        taken.append(place)
        axes.annotate(
            format_number(setting.alpha),
            (setting.perceptual, setting.psnr),
            xytext=(7, -11),
            textcoords="offset points",
            size=8,
            color=INK,
            weight="bold" if setting.chosen else "normal",
        )
