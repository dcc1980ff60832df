"""Restore volumes with a network and write them in the formats of their sources.

With --tta-std, the standard deviation over the eight flips and transposes is computed in the same pass (see
pipeline/inference/tta.py), from the network's own results, before data consistency is applied.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts.validators import Number

from pipeline.config.sections import Infer
from pipeline.errors import about
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import restored_image, suffix_of, write_prediction
from pipeline.inference.memory import limit_memory
from pipeline.inference.restoration import Restored, check_restored, network_on, restore_measured
from pipeline.models.device import choose_device, use_threads
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._framework import section
from pipeline.steps._shards import BackgroundWriter, each, new_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    model: Path
    """generator.safetensors of the method."""
    lr: list[Path]
    """Low-resolution volumes (.safetensors)."""
    output: Path
    """Folder of the restored volumes, named after the method."""
    tta_std: Path | None = None
    """Folder of the standard deviations over flips and transposes (.safetensors)."""
    others: list[Path] = field(default_factory=list)
    """generator.safetensors of further networks that contribute to the standard deviation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Compute device."""
    memory_mb: Annotated[int | None, Number(gt=0)] = None
    """Memory limit in MB; reduces the number of slices per batch (default: the free memory)."""
    settings: Annotated[Infer, section(Infer)] = field(default_factory=Infer)
    """Section `infer` of the configuration."""


def run(options: Options) -> None:
    """Restore the volumes; each is written while the next one is computed.

    Raises:
        UserError: a file cannot be read, the device cannot be used, or a result of the delivered method is
            inconsistent with the LR input; for other methods, this is logged as a warning.
    """
    settings = options.settings
    limit_memory(options.memory_mb)
    use_threads(settings.threads)
    device = choose_device(options.device)
    networks = [network_on(path, device) for path in (options.model, *options.others)]
    force = settings.force or options.output.name != settings.deliver
    with ExitStack() as folders:
        output = folders.enter_context(new_folder(options.output))
        tta_std = folders.enter_context(new_folder(options.tta_std)) if options.tta_std else None
        with BackgroundWriter() as writer:
            for path in each(options.lr):
                with about(f"volume {path.stem!r}"):
                    image = read_image(path, LowResolutionImage)
                    restored = restore_measured(networks, image, settings, with_tta_std=tta_std is not None)
                    check_restored(networks[0], image, restored, force=force)
                writer.write(write_restored, image, restored, output, tta_std)


def write_restored(image: LowResolutionImage, restored: Restored, output: Path, tta_std: Path | None) -> None:
    """Write a restored volume in the format of its source and, if it was computed, its standard deviation.

    Args:
        image: the low-resolution volume.
        restored: results of the networks.
        output: folder of restored volumes.
        tta_std: folder of standard deviations.
    """
    volume = image.id
    with about(f"volume {volume!r}"):
        if tta_std is not None and restored.tta_std is not None:
            write_image(tta_std / f"{volume}.safetensors", restored_image(image, restored.tta_std))
        clipped = write_prediction(output / f"{volume}{suffix_of(image)}", image, restored.restored)
    logger.info("%s: restored, %d voxels clipped", volume, clipped)
