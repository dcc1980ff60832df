"""Restore volumes with every baseline."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from pipeline import plugins
from pipeline.baselines.tuning.apply import BASELINES, read_tuning, upsample
from pipeline.errors import about
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import suffix_of, write_prediction
from pipeline.models.device import use_threads
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._shards import each, new_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    lr: list[Path]
    """Low-resolution volumes (.safetensors)."""
    tuning: Path
    """Settings chosen on validation (.json, from the step tune)."""
    output: Path
    """Parent folder of the restored volumes; its subfolders are named after the methods."""
    threads: int = 1
    """Number of threads."""


def run(options: Options) -> None:
    """Restore the volumes with every baseline."""
    use_threads(options.threads)
    tuned = read_tuning(options.tuning)
    with ExitStack() as stack:
        folders = {
            method: stack.enter_context(new_folder(options.output / method)) for method in plugins.names(BASELINES)
        }
        for path in each(options.lr):
            lr_image = read_image(path, LowResolutionImage)
            volume = lr_image.id
            with about(f"volume {volume!r}"):
                for method, folder in tqdm(folders.items(), volume, disable=None):
                    target = folder / f"{volume}{suffix_of(lr_image)}"
                    clipped = write_prediction(target, lr_image, upsample(lr_image, method, tuned))
                    logger.info("%s: %s written; %d voxels clipped to the range of the dtype", volume, method, clipped)
