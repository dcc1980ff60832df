"""Measure tissue volumes in the results of every method and in the reference.

Volumes are computed only for heads and brains of known voxel size; otherwise the table is empty.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config.volumes import TISSUE_ORDERS
from pipeline.errors import UserError, about
from pipeline.fidelity.tissue import class_names, measurable, reference_classes, tissue_volumes
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, read_prediction
from pipeline.steps._shards import each, files_of
from pipeline.tables.tissue import TISSUE, TissueVolume

logger = logging.getLogger(__name__)

NOT_NAMED = "unnamed"
"""Order of the tissues of a volume whose classes are named dark, medium and bright."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors)."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    tissues: list[str] = field(default_factory=list)
    """Order of the tissues, dark to bright, of every volume that is skull-stripped; unnamed (default) for others, whose
    classes are dark, medium and bright."""
    output: Path
    """One row per volume, method and class (.csv)."""


def run(options: Options) -> None:
    """Write the table.

    Raises:
        UserError: a file cannot be read, or an order of tissues is unknown.
    """
    unknown = sorted(set(options.tissues) - {*TISSUE_ORDERS, NOT_NAMED})
    if unknown:
        raise UserError(f"--tissues: {unknown[0]!r} is unknown; choose from {', '.join((*TISSUE_ORDERS, NOT_NAMED))}.")
    rows: list[TissueVolume] = []
    orders = options.tissues or [NOT_NAMED] * len(options.hr)
    for path, order in zip(each(options.hr), orders, strict=True):
        reference = read_image(path)
        volume = reference.id
        if not measurable(reference):
            logger.info("%s: not a head or brain of known voxel size; no tissue volumes computed", volume)
            continue
        names, classes = class_names(None if order == NOT_NAMED else order), reference_classes(reference)
        for prediction in by_method(files_of(volume, options.predictions)):
            with about(f"volume {volume!r}"):
                estimate = read_prediction(prediction, reference)
                rows.extend(tissue_volumes(reference, method_of(prediction), estimate, classes, names))
    TISSUE.write(options.output, rows)
