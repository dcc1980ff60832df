"""Tune the baselines that have settings, by PSNR on the validation volumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.baselines.tuning.search import tune
from pipeline.files import write_json
from pipeline.formats.io.container import read_image
from pipeline.models.device import use_threads
from pipeline.physics.low_resolution import LowResolutionImage


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted validation volumes (.safetensors)."""
    lr: list[Path]
    """Low-resolution images of the volumes, in the same order (.safetensors)."""
    output: Path
    """The chosen settings and all candidates of every tuned baseline (.json)."""
    threads: int = 1
    """Number of threads."""


def run(options: Options) -> None:
    """Write the chosen settings."""
    use_threads(options.threads)
    references = [read_image(path) for path in options.hr]
    write_json(options.output, tune(references, [read_image(path, LowResolutionImage) for path in options.lr]))
