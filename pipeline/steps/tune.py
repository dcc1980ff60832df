"""Choose the settings of denoise-then-interpolate on the validation volumes, by PSNR over the foreground."""

from __future__ import annotations

import logging

from pipeline.baselines.tuning.search import tune
from pipeline.files import write_json
from pipeline.formats.io.container import read_image
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--hr", "extracted validation volumes (.safetensors)", many=True)
    add_path(parser, "--lr", "their low-resolution volumes (.safetensors), in the same order", many=True)
    add_path(parser, "--output", "the chosen settings and all that were tried (.json)")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    result = tune(
        [read_image(path) for path in arguments.hr], [read_image(path, LowResolutionImage) for path in arguments.lr]
    )
    write_json(arguments.output, result)
    logger.info("%s: chose %s of %d candidates", result["method"], result["settings"], len(result["tried"]))
