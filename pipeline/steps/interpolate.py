"""Restore a volume with every baseline."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import prediction_path, suffix_of, write_prediction
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, show_progress

logger = logging.getLogger(__name__)

METHODS = "pipeline.baselines"


def interpolate(lr_image: LowResolutionImage, method: str, settings: Mapping[str, Any], path: Path) -> int:
    """Restore one volume with one baseline and write the result.

    Returns:
        How many voxels had to be clipped to the range of the dtype.
    """
    factors = lr_image.forward_model.factors
    sr = plugins.load(METHODS, method).upsample(lr_image.data, factors, settings)
    return write_prediction(path, lr_image, sr)


def read_tuning(path: Path) -> dict[str, dict[str, Any]]:
    """Read what the stage `tune` wrote.

    Returns:
        The chosen settings by the name of the method they are for.

    Raises:
        UserError: the file is no result of tuning.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not {"method", "settings"} <= content.keys():
        raise UserError(f"{path}: holds no tuned settings; delete it and run the stage tune again.")
    return {content["method"]: content["settings"]}


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
    for method in tqdm(plugins.names(METHODS), volume, disable=not show_progress()):
        path = prediction_path(arguments.predictions, method, volume, suffix_of(lr_image))
        clipped = interpolate(lr_image, method, tuned.get(method, {}), path)
        logger.info("%s: %s written; %d voxels clipped to the range of the dtype", volume, method, clipped)
