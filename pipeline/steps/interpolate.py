"""Restore a volume with every baseline."""

from __future__ import annotations

import logging

from tqdm import tqdm

from pipeline import plugins
from pipeline.baselines.tuning.apply import BASELINES, read_tuning, upsample
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import prediction_path, suffix_of, write_prediction
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--lr", "low-resolution volume (.safetensors)", each_volume=True)
    add_path(parser, "--tuning", "settings chosen by the stage tune (.json)")
    add_path(parser, "--predictions", "folder of the results: <folder>/<method>/<volume> and the suffix of its format")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    lr_image = read_image(arguments.lr, LowResolutionImage)
    tuned = read_tuning(arguments.tuning)
    volume = lr_image.id
    for method in tqdm(plugins.names(BASELINES), volume, disable=None):
        path = prediction_path(arguments.predictions, method, volume, suffix_of(lr_image))
        clipped = write_prediction(path, lr_image, upsample(lr_image, method, tuned))
        logger.info("%s: %s written; %d voxels clipped to the range of the dtype", volume, method, clipped)
