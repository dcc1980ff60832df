"""Insert small structures, restore them with every method, and count the structures detected by a model observer.

See pipeline/fidelity/insertion: the structures are inserted into a few slices of the reference, which are degraded by
the volume's own forward model with its own noise. Networks receive the noise level of the whole volume, as in the step
infer.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts.validators import Number

from pipeline.baselines.tuning.apply import read_tuning
from pipeline.config.sections import Infer, Insertion
from pipeline.errors import about
from pipeline.fidelity.insertion.methods import baseline_methods, network_methods
from pipeline.fidelity.insertion.study import count_detections, list_places, run_study
from pipeline.formats.io.container import read_image
from pipeline.inference.memory import limit_memory
from pipeline.inference.restoration import network_on
from pipeline.models.device import choose_device, use_threads
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._framework import section
from pipeline.steps._shards import each
from pipeline.tables.inserted_places import INSERTED_PLACES, InsertedPlace
from pipeline.tables.inserted_structures import DETECTION_COUNTS, DetectionCounts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors)."""
    lr: list[Path]
    """Low-resolution images of the volumes, in the same order (.safetensors)."""
    models: list[Path]
    """generator.safetensors of networks, in folders named after the methods."""
    tuning: Path
    """Settings chosen on validation (.json, from the step tune)."""
    output: Path
    """Detections, one row per method, kind, size and contrast (.csv)."""
    places: Path
    """Inserted structures, one row per method, structure and contrast (.csv)."""
    seed: int = 0
    """Seed of the positions of the structures."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Compute device."""
    memory_mb: Annotated[int | None, Number(gt=0)] = None
    """Memory limit in MB; reduces the number of slices per batch (default: the free memory)."""
    infer: Annotated[Infer, section(Infer)] = field(default_factory=Infer)
    """Section `infer` of the configuration."""
    settings: Annotated[Insertion, section(Insertion)] = field(default_factory=Insertion)
    """Section `insertion` of the configuration."""


def run(options: Options) -> None:
    """Write the tables."""
    use_threads(options.infer.threads)
    limit_memory(options.memory_mb)
    device = choose_device(options.device)
    networks = {path.resolve().parent.name: network_on(path, device) for path in options.models}
    baselines = baseline_methods(read_tuning(options.tuning))
    rows: list[DetectionCounts] = []
    places: list[InsertedPlace] = []
    for hr, lr_path in zip(each(options.hr), options.lr, strict=True):
        with about(f"volume {hr.stem!r}"):
            reference, lr = read_image(hr), read_image(lr_path, LowResolutionImage)
            methods = {**baselines, **network_methods(networks, lr, options.infer)}
            found = list(run_study(reference, lr, methods, options.settings, options.seed))
            own = count_detections(reference, found)
            rows.extend(own)
            places.extend(list_places(reference, found))
        count = sum(row.inserted for row in own if row.method == next(iter(methods)))
        logger.info("%s: %d structures inserted, %d methods", reference.id, count, len(methods))
    DETECTION_COUNTS.write(options.output, rows)
    INSERTED_PLACES.write(options.places, places)
