"""Denoise the reference of a volume by self-supervision, see `pipeline.physics.denoised_reference`."""

from __future__ import annotations

import logging

import numpy as np

from pipeline.formats.io.container import read_image, write_image
from pipeline.physics.denoised_reference import denoised_reference
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--input", "extracted volume (.safetensors)", each_volume=True)
    add_path(parser, "--output", "the same volume, denoised (.safetensors)", each_volume=True)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    image = read_image(arguments.input)
    result = denoised_reference(image)
    write_image(arguments.output, result)
    change = float(np.std(result.data - image.data))
    logger.info("%s: %s; standard deviation of the change: %.4f", image.id, result.block.denoised, change)
