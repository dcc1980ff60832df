"""Make training pairs out of a volume of thick slices alone; see pipeline/training/self_supervised.py."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.formats.io.container import read_image, write_image
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._cli import ArgumentParser, Namespace, add_path
from pipeline.training.self_supervised import ROLES, own_pairs

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--lr", "low-resolution volume of thick slices (.safetensors)")
    text = f"folder of the pairs: <role>.hr.safetensors and <role>.lr.safetensors, the roles are {', '.join(ROLES)}"
    add_path(parser, "--output", text)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    folder: Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    for role, (reference, lr) in own_pairs(read_image(arguments.lr, LowResolutionImage)).items():
        write_image(folder / f"{role}.hr.safetensors", reference)
        write_image(folder / f"{role}.lr.safetensors", lr)
        logger.info("%s: %s -> %s", role, reference.data.shape, lr.data.shape)
