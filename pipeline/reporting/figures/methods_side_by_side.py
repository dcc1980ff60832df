"""Figure of one slice restored by several methods, beside the low-resolution input and the reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.formats.io.predictions import read_prediction
from pipeline.image.image import Image
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.figures.gallery import WHITE_PERCENTILE, repeat_voxels
from pipeline.reporting.figures.slices import bounding_box, detail_box, display_slice, display_spacing
from pipeline.reporting.titles import method_title

INCHES_PER_PANEL = 2.6


def panels(reference: Image, lr: LowResolutionImage, predictions: Sequence[Path]) -> dict[str, NDArray]:
    """Return the volumes to draw by title, each of the shape of `reference`: low-resolution, restored, reference."""
    restored = {method_title(path.parent.name): read_prediction(path, reference) for path in predictions}
    return {"Low resolution": repeat_voxels(lr, reference), **restored, "Reference": reference.data}


def draw(reference: Image, volumes: dict[str, NDArray], index: int) -> Any:
    """Return a matplotlib figure: whole slices above, one magnified detail, chosen in the reference, below."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    axis = reference.slice_axis
    mask = display_slice(reference.masks["foreground"], axis, index)
    spacing = display_spacing(reference.spacing, axis)
    box = bounding_box([mask])
    reference_slice = display_slice(reference.data, axis, index)
    detail = detail_box(reference_slice, mask, box, spacing)
    white = float(np.percentile(reference_slice[mask], WHITE_PERCENTILE))
    figure = Figure(figsize=(INCHES_PER_PANEL * len(volumes), 2.1 * INCHES_PER_PANEL), facecolor="black")
    grid: Any = figure.subplots(2, len(volumes), squeeze=False)
    for column, (title, volume) in enumerate(volumes.items()):
        for axes, part in zip(grid[:, column], (box, detail), strict=True):
            shown = part.cut(display_slice(volume, axis, index))
            axes.imshow(shown, cmap="gray", vmin=0, vmax=white, aspect=spacing[0] / spacing[1], interpolation="nearest")
            axes.set_axis_off()
        grid[0, column].set_title(title, color="white", fontsize=9)
        corner = (detail.left - box.left, detail.top - box.top)
        grid[0, column].add_patch(Rectangle(corner, detail.shape[1], detail.shape[0], fill=False, edgecolor="#f0b429"))
    figure.subplots_adjust(left=0.005, right=0.995, top=0.95, bottom=0.005, wspace=0.02, hspace=0.02)
    return figure
