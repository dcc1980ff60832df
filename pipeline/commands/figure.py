"""Draw one slice of a volume as restored by several methods, beside the reference, for a paper or a README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.files import replacing
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import read_prediction
from pipeline.image.image import Image
from pipeline.image.slices import evenly_spaced
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.figures.gallery import WHITE_PERCENTILE, enlarge_pixels
from pipeline.reporting.figures.slices import bounding_box, detail_box, draw_slice, drawn_spacing
from pipeline.reporting.titles import method_title
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

INCHES_PER_PANEL = 2.6


def panels(reference: Image, lr: LowResolutionImage, predictions: Sequence[Path]) -> dict[str, NDArray]:
    """Return the volumes to draw by title, each of the shape of `reference`: measured, restored, true."""
    restored = {method_title(path.parent.name): read_prediction(path, reference) for path in predictions}
    return {"Low resolution, as measured": enlarge_pixels(lr, reference), **restored, "Reference": reference.data}


def draw(reference: Image, volumes: dict[str, NDArray], index: int) -> Any:
    """Return a matplotlib figure: whole slices above, one magnified detail (chosen from the reference alone) below."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    axis = reference.slice_axis
    mask = draw_slice(reference.masks["foreground"], axis, index)
    spacing = drawn_spacing(reference.spacing, axis)
    box = bounding_box([mask])
    true_slice = draw_slice(reference.data, axis, index)
    detail = detail_box(true_slice, mask, box, spacing)
    white = float(np.percentile(true_slice[mask], WHITE_PERCENTILE))
    figure = Figure(figsize=(INCHES_PER_PANEL * len(volumes), 2.1 * INCHES_PER_PANEL), facecolor="black")
    grid: Any = figure.subplots(2, len(volumes), squeeze=False)
    for column, (title, volume) in enumerate(volumes.items()):
        for axes, part in zip(grid[:, column], (box, detail), strict=True):
            shown = part.cut(draw_slice(volume, axis, index))
            axes.imshow(shown, cmap="gray", vmin=0, vmax=white, aspect=spacing[0] / spacing[1], interpolation="nearest")
            axes.set_axis_off()
        grid[0, column].set_title(title, color="white", fontsize=9)
        corner = (detail.left - box.left, detail.top - box.top)
        grid[0, column].add_patch(Rectangle(corner, detail.shape[1], detail.shape[0], fill=False, edgecolor="#f0b429"))
    figure.subplots_adjust(left=0.005, right=0.995, top=0.95, bottom=0.005, wspace=0.02, hspace=0.02)
    return figure


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this command."""
    add_path(parser, "--hr", "extracted volume (.safetensors)")
    add_path(parser, "--lr", "its low-resolution volume (.safetensors)")
    add_path(parser, "--predictions", "predictions to show; the name of a file's folder is its method", many=True)
    add_path(parser, "--output", "picture (.png)")
    parser.add_argument("--slice", type=int, help="slice of the block (default: the middle one of the foreground)")


def main(arguments: Namespace) -> None:
    """Run the command."""
    reference, lr = read_image(arguments.hr), read_image(arguments.lr, LowResolutionImage)
    middle = evenly_spaced(reference.block.foreground_slices, 1)[0]
    index = middle if arguments.slice is None else arguments.slice
    figure = draw(reference, panels(reference, lr, arguments.predictions), index)
    with replacing(arguments.output) as partial:
        figure.savefig(partial, dpi=100, facecolor="black", metadata={"Software": None})
