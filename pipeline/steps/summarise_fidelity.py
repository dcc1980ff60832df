"""Collect gates, tissue volumes, inserted structures and uncertainty maps of all volumes in tables.

For the intervals of detection rates see pipeline/statistics/detection.py, for the agreement of tissue volumes
pipeline/fidelity/tissue.py.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pandas as pd

from pipeline.config.sections import Evaluate
from pipeline.errors import UserError
from pipeline.fidelity.tissue import read_tissue, tissue_agreement
from pipeline.files import write_text
from pipeline.statistics.detection import rate_table, with_intervals
from pipeline.steps._framework import section
from pipeline.tables.detection_rates import DETECTION_RATES
from pipeline.tables.gates import GATES
from pipeline.tables.inserted_places import INSERTED_PLACES
from pipeline.tables.inserted_structures import DETECTION_COUNTS, INSERTED_STRUCTURES
from pipeline.tables.reliability import RELIABILITY
from pipeline.tables.table import concatenate
from pipeline.tables.tissue import TISSUE
from pipeline.tables.tissue_agreement import TISSUE_AGREEMENT
from pipeline.tables.uncertainty import UNCERTAINTY

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step: tables of shards, and the folder of the tables over all volumes."""

    gates: list[Path] = field(default_factory=list)
    """Consistency gates (.csv)."""
    tissue: list[Path] = field(default_factory=list)
    """Tissue volumes (.csv)."""
    detections: list[Path] = field(default_factory=list)
    """Detections of inserted structures (.csv)."""
    places: list[Path] = field(default_factory=list)
    """Positions of the inserted structures, in the same order (.csv)."""
    reliability: list[Path] = field(default_factory=list)
    """Errors by half-width of the intervals (.csv)."""
    uncertainty: list[Path] = field(default_factory=list)
    """Coverage of the intervals (.csv)."""
    deliver: str
    """Delivered method, with which the detection rates of the others are compared."""
    output: Path
    """Folder of gates.csv, tissue.csv, tissue_agreement.csv, inserted_structures.csv, detection_rates.csv,
    reliability.csv and uncertainty.csv; an empty table consists of its header."""
    seed: int = 0
    """Seed of the bootstrap."""
    settings: Annotated[Evaluate, section(Evaluate)] = field(default_factory=Evaluate)
    """Section `evaluate` of the configuration."""


def run(options: Options) -> None:
    """Write the tables.

    Raises:
        UserError: a table cannot be read, or a table of detections has no table of positions.
    """
    folder, settings = options.output, options.settings
    if len(options.detections) != len(options.places):
        raise UserError("--detections and --places require the same number of files, in the same order.")
    for table, parts, name in (
        (GATES, options.gates, "gates"),
        (RELIABILITY, options.reliability, "reliability"),
        (UNCERTAINTY, options.uncertainty, "uncertainty"),
    ):
        lines = concatenate(parts) if parts else ",".join(table.columns) + "\n"
        write_text(folder / f"{name}.csv", lines)
    tissue = read_tissue(options.tissue)
    TISSUE.write(folder / "tissue.csv", tissue)
    TISSUE_AGREEMENT.write(folder / "tissue_agreement.csv", tissue_agreement(tissue, settings.confidence))
    bootstrap = (settings.bootstrap_samples, settings.confidence, options.seed)
    volumes = [
        (DETECTION_COUNTS.read(detections), INSERTED_PLACES.read(places))
        for detections, places in zip(options.detections, options.places, strict=True)
    ]
    inserted = [with_intervals(*pair, *bootstrap) for pair in volumes] or [INSERTED_STRUCTURES.frame()]
    INSERTED_STRUCTURES.write(folder / "inserted_structures.csv", pd.concat(inserted))
    DETECTION_RATES.write(folder / "detection_rates.csv", rate_table(volumes, options.deliver, *bootstrap))
    logger.info("%d shards with gates, %d with inserted structures", len(options.gates), len(volumes))
