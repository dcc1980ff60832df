"""Simulate the low-resolution volume of an extracted volume, and write its forward model."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from threadpoolctl import threadpool_limits

from pipeline.config.sections import Degrade
from pipeline.files import write_json
from pipeline.formats.io.container import map_image, write_image
from pipeline.physics.degradation import degrade, forward_model
from pipeline.steps._framework import section

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    input: Path
    """Extracted volume (.safetensors)."""
    output: Path
    """Low-resolution volume (.safetensors)."""
    forward_model: Path
    """The forward model (.json)."""
    seed: int = 0
    """Seed of the noise."""
    settings: Annotated[Degrade, section(Degrade)] = field(default_factory=Degrade)
    """Section `degrade` of the configuration."""


def run(options: Options) -> None:
    """Write the low-resolution volume and the forward model."""
    image = map_image(options.input)
    model = forward_model(image, options.settings, options.seed)
    # More threads only speed up large products, and change the order of summation.
    with threadpool_limits(limits=1, user_api="blas"):
        write_image(options.output, degrade(image, model))
    write_json(options.forward_model, model.to_json())
    logger.info("%s: %s -> %s; %s", image.id, image.data.shape, model.lr_shape, model.describe())
