"""Create self-supervised training pairs from a thick-slice volume; see pipeline/training/self_supervised.py."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from pipeline.formats.io.container import read_image, write_image
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.training.self_supervised import self_supervised_pairs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    lr: Path
    """Low-resolution volume of thick slices (.safetensors)."""
    output: Path
    """Folder of the pairs: <role>.hr.safetensors and <role>.lr.safetensors, see `ROLES`."""


def run(options: Options) -> None:
    """Write the training pairs."""
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    for role, (reference, lr) in self_supervised_pairs(read_image(options.lr, LowResolutionImage)).items():
        write_image(folder / f"{role}.hr.safetensors", reference)
        write_image(folder / f"{role}.lr.safetensors", lr)
        logger.info("%s: %s -> %s", role, reference.data.shape, lr.data.shape)
