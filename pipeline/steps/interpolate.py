"""Restore volumes with every baseline."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline import plugins
from pipeline.errors import UserError, about
from pipeline.files import read_json
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import suffix_of, write_prediction
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._shards import each, new_folder

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


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    lr: list[Path]
    """Low-resolution volumes (.safetensors)."""
    tuning: Path
    """Settings chosen on validation (.json, from the step tune)."""
    output: Path
    """Folder of the folders of restored volumes, which are named after the methods."""


def run(options: Options) -> None:
    """Restore the volumes with every baseline."""
    tuned = read_tuning(options.tuning)
    with ExitStack() as stack:
        folders = {
            method: stack.enter_context(new_folder(options.output / method)) for method in plugins.names(METHODS)
        }
        for path in each(options.lr):
            lr_image = read_image(path, LowResolutionImage)
            volume = lr_image.id
            with about(f"volume {volume!r}"):
                for method, folder in tqdm(folders.items(), volume, disable=None):
                    target = folder / f"{volume}{suffix_of(lr_image)}"
                    clipped = interpolate(lr_image, method, tuned.get(method, {}), target)
                    logger.info("%s: %s written; %d voxels clipped to the range of the dtype", volume, method, clipped)
