"""Fidelity dial of a network: PSNR against perceptual distance, and the chosen setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.reporting.figures.lines import GRID, INK, SETTINGS, SIZE_INCHES, as_uri, empty_figure
from pipeline.reporting.section import Figure
from pipeline.reporting.tables import records

ACCENT = "#0b6e75"
BOOLEANS = {"true": True, "false": False}
MIN_LABEL_DISTANCE = 0.07
"""Minimum distance between labelled points as a fraction of the axes; closer labels would overlap."""

CAPTION = (
    "Each point is a network whose weights are interpolated between the start (alpha = 0) and the end (alpha = 1) of "
    "this training. Higher points are closer to the reference by PSNR, points further left are closer in VGG feature "
    "space. Filled points meet the limits on PSNR and data consistency, hollow points do not. The circled point was "
    "chosen, on the validation volumes."
)


@dataclass(frozen=True)
class Point:
    """One setting of the dial, evaluated on the validation volumes.

    Attributes:
        alpha: weight of the last network in the interpolation with the first one.
        psnr: PSNR in dB.
        ssim: structural similarity.
        perceptual: distance in VGG feature space; lower is better.
        residual: root mean square difference between the degraded result and the low-resolution input.
        noise: noise level that the residual is compared with.
        allowed: whether the setting meets the limits.
        chosen: whether the setting was chosen.
    """

    alpha: float
    psnr: float
    ssim: float
    perceptual: float
    residual: float
    noise: float
    allowed: bool
    chosen: bool


def dial_points(table: pd.DataFrame, method: str) -> list[Point]:
    """Return the rows of dial.csv, sorted by alpha.

    Args:
        table: table with the columns alpha, psnr, ssim, perceptual, lr_residual, noise_level, allowed, chosen.
        method: name of the network, for messages.

    Raises:
        UserError: a cell is not a number, or neither true nor false.
    """
    try:
        points = [_point(row) for row in records(table)]
    except (ValueError, KeyError) as error:
        raise UserError(
            f"dial.csv of {method}: {error}. Delete the folder of this network and train it again."
        ) from error
    return sorted(points, key=lambda point: point.alpha)


def _point(row: dict[str, Any]) -> Point:
    return Point(
        alpha=float(row["alpha"]),
        psnr=float(row["psnr"]),
        ssim=float(row["ssim"]),
        perceptual=float(row["perceptual"]),
        residual=float(row["lr_residual"]),
        noise=float(row["noise_level"]),
        allowed=BOOLEANS[str(row["allowed"]).strip().lower()],
        chosen=BOOLEANS[str(row["chosen"]).strip().lower()],
    )


def dial_figure(points: Sequence[Point], title: str) -> Figure:
    """Draw PSNR against perceptual distance, with points connected in the order of alpha.

    Args:
        points: points sorted by alpha; those with values that are not finite are left out.
        title: title of the network.
    """
    usable = [point for point in points if np.isfinite([point.psnr, point.perceptual]).all()]
    words = "; ".join(
        f"alpha {point.alpha:.3g}: {point.psnr:.2f} dB at distance {point.perceptual:.4g}"
        f"{'' if point.allowed else ', not allowed'}{', chosen' if point.chosen else ''}"
        for point in usable
    )
    return Figure(_draw(usable), f"{title}, fidelity dial. {words}", CAPTION)


def _draw(points: Sequence[Point]) -> str:
    from matplotlib import rc_context

    with rc_context({**SETTINGS, "axes.grid.axis": "both"}):
        figure, axes = empty_figure(SIZE_INCHES)
        x, y = ([getattr(point, name) for point in points] for name in ("perceptual", "psnr"))
        axes.margins(0.12)
        axes.plot(x, y, color=ACCENT, linewidth=1.4, zorder=2)
        for point in points:
            face = ACCENT if point.allowed else "white"
            axes.plot(point.perceptual, point.psnr, "o", color=ACCENT, markerfacecolor=face, markersize=5, zorder=3)
            if point.chosen:
                axes.plot(
                    point.perceptual, point.psnr, "o", markersize=12, markerfacecolor="none", color="#b45309", mew=1.6
                )
        _label(axes, points)
        axes.set(title="Fidelity dial", xlabel="Perceptual distance", ylabel="PSNR (dB)")
        axes.grid(color=GRID)
        return as_uri(figure)


def _label(axes: Any, points: Sequence[Point]) -> None:
    """Label the chosen point, both ends, and others where there is room with their alpha."""
    ends = {id(point) for point in (*points[:1], *points[-1:])}
    order = sorted(points, key=lambda point: (not point.chosen, id(point) not in ends, point.alpha))
    taken: list[Any] = []
    for point in order:
        place = axes.transAxes.inverted().transform(axes.transData.transform((point.perceptual, point.psnr)))
        if any(np.hypot(*(place - other)) < MIN_LABEL_DISTANCE for other in taken):
            continue
        taken.append(place)
        axes.annotate(
            f"{point.alpha:.3g}",
            (point.perceptual, point.psnr),
            xytext=(7, -11),
            textcoords="offset points",
            size=8,
            color=INK,
            weight="bold" if point.chosen else "normal",
        )
