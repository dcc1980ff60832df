"""Write the training report: curves, events of the sentinel, samples over time, the fidelity dial."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pipeline.config.sections import Report
from pipeline.files import write_text
from pipeline.provenance.record import read_provenance
from pipeline.reporting.pages.training import training_page
from pipeline.reporting.training_record import read_training
from pipeline.steps._framework import section

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    models: list[Path]
    """Folders of the networks, with model_card.md and history.csv; of trained networks also events.csv,
    samples.safetensors and, with a fidelity dial, dial.csv."""
    provenance: Path
    """Record of the run (provenance.json)."""
    output: Path
    """The report (.html)."""
    settings: Annotated[Report, section(Report)] = field(default_factory=Report)
    """Section `report` of the configuration."""


def run(options: Options) -> None:
    """Write the page."""
    trainings = [read_training(folder) for folder in options.models]
    page = training_page(trainings, read_provenance(options.provenance), options.settings)
    write_text(options.output, page)
    logger.info("%s: %.1f MB", options.output, len(page) / 1e6)
