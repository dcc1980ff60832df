"""Simulate the low-resolution volume of an extracted volume, and write its forward model."""

from __future__ import annotations

import logging

from threadpoolctl import threadpool_limits

from pipeline.config.load import read_section
from pipeline.config.sections import Degrade
from pipeline.files import write_json
from pipeline.formats.io.container import map_image, write_image
from pipeline.physics.degradation import degrade, forward_model
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--input", "extracted volume (.safetensors)")
    add_path(parser, "--output", "low-resolution volume (.safetensors)")
    add_path(parser, "--forward-model", "where the forward model is written (.json)")
    parser.add_argument("--seed", type=int, default=0, help="root of the noise's random numbers")
    add_settings(parser, Degrade)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = read_section(Degrade, arguments.settings)
    image = map_image(arguments.input)
    model = forward_model(image, settings, arguments.seed)
    # More threads would pay for large products alone, and add up in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        write_image(arguments.output, degrade(image, model))
    write_json(arguments.forward_model, model.to_json())
    logger.info("%s: %s -> %s; %s", image.id, image.data.shape, model.lr_shape, model.describe())
