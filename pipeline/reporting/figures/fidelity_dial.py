"""The fidelity dial of a network: likeness to the reference against perceptual distance, and the setting chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.reporting.figures.lines import GRID, INK, SETTINGS, SIZE_INCHES, as_uri, empty_figure
from pipeline.reporting.figures.training_curves import Drawing
from pipeline.reporting.tables import records

ACCENT = "#0b6e75"
REFERENCE_VALUES = {"true": True, "false": False}
MIN_LABEL_DISTANCE = 0.07
"""Labels of points nearer to each other than this share of the axes would overlap; the later one is left out."""

CAPTION = (
    "Every point is the network with its weights that share (alpha) of the way from the start of this training, 0, to "
    "its end, 1. Up is nearer to the reference voxel by voxel, left is nearer to it in the features of a VGG network. "
    "Filled points keep to the limits on PSNR and on the disagreement with the measurement, hollow ones do not; the "
    "ringed one was chosen, on validation volumes."
)


@dataclass(frozen=True)
class Point:
    """One setting of the dial, as measured on the validation volumes.

    Attributes:
        alpha: share of the way from the first to the last weights.
        psnr: in dB.
        ssim: structural similarity.
        perceptual: distance in the features of a VGG network, lower is better.
        residual: how far the result, degraded again, is from the measurement.
        noise: what noise it should be compared with.
        allowed: whether it keeps to the limits.
        chosen: whether it is the one that was kept.
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
    """Return the rows of dial.csv by rising alpha.

    Args:
        table: of the columns alpha, psnr, ssim, perceptual, lr_residual, noise_level, allowed, chosen.
        method: whose table it is, for messages.

    Raises:
        UserError: a cell holds no number, or neither true nor false.
    """
    try:
        points = [_point(row) for row in records(table)]
    except (ValueError, KeyError) as error:
        raise UserError(f"dial.csv of {method}: {error}. Delete the folder of this network and train again.") from error
    return sorted(points, key=lambda point: point.alpha)


def _point(row: dict[str, Any]) -> Point:
    return Point(
        alpha=float(row["alpha"]),
        psnr=float(row["psnr"]),
        ssim=float(row["ssim"]),
        perceptual=float(row["perceptual"]),
        residual=float(row["lr_residual"]),
        noise=float(row["noise_level"]),
        allowed=REFERENCE_VALUES[str(row["allowed"]).strip().lower()],
        chosen=REFERENCE_VALUES[str(row["chosen"]).strip().lower()],
    )


def dial_drawing(points: Sequence[Point], title: str) -> Drawing:
    """Draw PSNR against perceptual distance, the points joined by rising alpha.

    Args:
        points: of the dial, by rising alpha; those with values that are not finite are left out.
        title: of the network, for the words.
    """
    usable = [point for point in points if np.isfinite([point.psnr, point.perceptual]).all()]
    words = "; ".join(
        f"alpha {point.alpha:.3g}: {point.psnr:.2f} dB at distance {point.perceptual:.4g}"
        f"{'' if point.allowed else ', not allowed'}{', chosen' if point.chosen else ''}"
        for point in usable
    )
    return Drawing(_draw(usable), f"{title}, fidelity dial. {words}", CAPTION)


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
    """Write alpha beside the points: at the chosen one and at the ends, and between them where there is room."""
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
