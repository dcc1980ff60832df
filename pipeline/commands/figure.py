"""Plot a slice restored by several methods next to the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def figure(
    *,
    hr: Path,
    lr: Path,
    predictions: Annotated[list[Path], Parameter(consume_multiple=True)],
    output: Path,
    slice: int | None = None,
) -> None:
    """Plot a slice restored by several methods next to the reference.

    The upper row shows the whole slice, the lower row a magnified detail.

    Args:
        hr: reference volume of a run (extracted/VOLUME.safetensors).
        lr: its low-resolution volume (degraded/VOLUME.safetensors).
        predictions: restored volumes to show; each folder is named after its method.
        output: the figure (.png).
        slice: index of the slice; by default the middle slice of the foreground.
    """
    from pipeline.files import replacing
    from pipeline.formats.io.container import read_image
    from pipeline.image.slices import evenly_spaced
    from pipeline.physics.low_resolution import LowResolutionImage
    from pipeline.reporting.figures.methods_side_by_side import draw, panels

    reference = read_image(hr)
    index = evenly_spaced(reference.block.foreground_slices, 1)[0] if slice is None else slice
    drawn = draw(reference, panels(reference, read_image(lr, LowResolutionImage), predictions), index)
    with replacing(output) as partial:
        drawn.savefig(partial, format="png", dpi=100, facecolor="black", metadata={"Software": None})
