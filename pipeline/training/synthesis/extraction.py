"""Extract a label map: store it with one image that is synthesised from it.

The image is normalised and masked like any acquired one. It serves degradation, validation and reports; the training
draws new images from the labels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config.sections import Extract
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.formats.io.extraction import read_whole, write_extracted
from pipeline.formats.io.segmentation import whole_labels
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.normalisation import normalise
from pipeline.image.slices import cut_block
from pipeline.physics.forward import volume_seed
from pipeline.physics.grid import Cut
from pipeline.training.slabs import WHOLE
from pipeline.training.synthesis.image import draw_volume_image
from pipeline.training.synthesis.label_map import LabelMap

MIN_LABELS = 2
"""Minimum number of labels besides the background."""
SCALE = 1000
"""Physical intensity of the largest mean of a label."""


def extract_label_map(
    source: Path,
    output: Path,
    volume: Volume,
    settings: Extract,
    seed: int,
    format_name: str | None = None,
) -> None:
    """Write the block of a label map with an image that is synthesised from it.

    Args:
        source: the file of the label map.
        output: the extracted volume.
        volume: its entry of the configuration.
        settings: the section `extract`.
        seed: of the run; the image depends on it and on the name of the volume.
        format_name: module of pipeline.formats; None detects the format.

    Raises:
        UserError: naming the file; it cannot be read, or is no label map.
    """
    whole = read_whole(source, volume, settings, format_name)
    if whole.stack.has_channels:
        raise UserError(f"volume {volume.id!r} from {source}: a label map has a single channel; choose one (channel).")
    labels = whole_labels(source, whole.data, "label map", np.dtype(np.int16))
    if np.unique(labels[labels != 0]).size < MIN_LABELS:
        raise UserError(
            f"volume {volume.id!r} from {source}: a label map (content: labels) requires at least {MIN_LABELS} labels "
            "besides the background. Is it a mask?"
        )
    try:
        block = cut_block(whole.with_data(labels), volume.slices, whole.slice_axis)
        result = normalise(_synthesised(block, volume_seed(seed, f"{volume.id}/synthesis")), settings)
    except UserError as error:
        raise UserError(f"volume {volume.id!r} from {source}: {error}") from error
    write_extracted(output, result.with_block(synthetic=True), volume, source, block.data)


def _synthesised(block: Image, seed: int) -> Image:
    """Return an image of physical intensities, drawn from the labels of a block."""
    axis = block.slice_axis
    rows, columns = (other for other in range(3) if other != axis)
    label_map = LabelMap(block.data, block.spacing_mm)
    image = draw_volume_image(label_map, Cut(axis, rows, columns), np.random.default_rng(seed))
    data: NDArray[np.float32] = SCALE * image.intensities(range(block.data.shape[axis]), WHOLE)
    return replace(block, data=np.moveaxis(data, 0, axis), intensity=IntensityMap())
