"""Apply self-supervised denoising to the references; see `pipeline.physics.denoised_reference`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import about
from pipeline.formats.io.container import read_image, write_image
from pipeline.physics.denoised_reference import denoised_reference
from pipeline.steps._shards import each, new_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    input: list[Path]
    """Extracted volumes (.safetensors)."""
    output: Path
    """Folder of the denoised volumes (.safetensors)."""


def run(options: Options) -> None:
    """Write the denoised volumes."""
    with new_folder(options.output) as folder:
        for path in each(options.input):
            image = read_image(path)
            volume = image.id
            with about(f"volume {volume!r}"):
                result = denoised_reference(image)
                write_image(folder / f"{volume}.safetensors", result)
            change = float(np.std(result.data - image.data))
            logger.info("%s: %s; standard deviation of the change: %.4f", volume, result.block.denoised, change)
