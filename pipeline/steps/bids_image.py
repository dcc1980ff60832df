"""Restore an image of a BIDS data set, and write the result with its sidecar, as `brainsr apply` does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts.validators import Number

from pipeline.config.bids.app import IMAGE, RESULT, SIDECAR, BidsImage, BidsSettings
from pipeline.config.bids.names import ERROR_MAP
from pipeline.config.bids.sidecars import read_sidecars
from pipeline.config.sections import Extract
from pipeline.errors import UserError
from pipeline.files import folder_beside
from pipeline.formats import Part
from pipeline.inference.memory import limit_memory
from pipeline.inference.restore_file import uncertainty_path
from pipeline.inference.restore_image import restore_image
from pipeline.models.device import use_threads
from pipeline.provenance.bids import RestoredSidecar, voxel_size_mm
from pipeline.steps._framework import entry

logger = logging.getLogger(__name__)

DESCRIPTION = "Super-resolved by BrainSR ({method})"
MAP = (
    "Uncertainty map of the image of the same name with desc-sr, in its units: half-width of the 90 % prediction "
    "interval of each voxel for networks with calibrated intervals, otherwise the standard deviation over test-time "
    "augmentation"
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    root: Path
    """Folder of the data set."""
    output: Path
    """Folder of the data set of derivatives."""
    image: Annotated[BidsImage, entry(BidsImage, "image")]
    """The image and the names of its results."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Compute device."""
    memory_mb: Annotated[int | None, Number(gt=0)] = None
    """Memory limit in MB (default: the free memory)."""
    settings: Annotated[BidsSettings, entry(BidsSettings, "settings")] = field(default_factory=BidsSettings)
    """Settings of the restoration."""


def run(options: Options) -> None:
    """Write the restored image, its uncertainty map if wanted, and their sidecars.

    Raises:
        UserError: the image cannot be read or restored, or the result contradicts it.
    """
    settings, image = options.settings, options.image
    use_threads(settings.infer.threads)
    limit_memory(options.memory_mb)
    source, result = options.root / image.path, options.output / image.path_of(RESULT, IMAGE)
    stated = read_sidecars(image.sidecars)
    with folder_beside(result) as folder, recorded_warnings() as warnings:
        made = folder / result.name
        restored = restore_image(
            settings.model,
            source,
            made,
            Part(),
            Extract(),
            settings.infer,
            factor=settings.factor,
            device=options.device,
            uncertainty=settings.uncertainty,
        )
        sidecar = RestoredSidecar(
            description=DESCRIPTION.format(method=restored.method),
            sources=(f"bids:raw:{image.path}",),
            skull_stripped=bool(stated.get("SkullStripped")),
            method=restored.method,
            weights_sha256=restored.sha256,
            factors=restored.factors,
            noise_sigma=restored.noise_sigma,
            difference_beyond_noise=restored.beyond_noise,
            warnings=tuple(text.removeprefix(f"{source}: ").removeprefix(f"{source.name}: ") for text in warnings),
            source_voxel_size_millimetres=voxel_size_mm(source),
            voxel_size_millimetres=voxel_size_mm(made),
        )
        if settings.uncertainty:
            made_map, final = uncertainty_path(made), options.output / image.path_of(ERROR_MAP, IMAGE)
            if not made_map.is_file():
                raise UserError(f"{restored.method} has no uncertainty map. Leave out --uncertainty.")
            made_map.replace(final)
            sidecar.model_copy(update={"description": MAP}).write(options.output / image.path_of(ERROR_MAP, SIDECAR))
        made.replace(result)
    sidecar.write(options.output / image.path_of(RESULT, SIDECAR))


@contextmanager
def recorded_warnings() -> Iterator[list[str]]:
    """Yield a list to which the messages of all warnings are added that BrainSR logs in the block."""
    found: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    recorder, package = Recorder(logging.WARNING), logging.getLogger("pipeline")
    package.addHandler(recorder)
    try:
        yield found
    finally:
        package.removeHandler(recorder)
