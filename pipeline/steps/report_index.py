"""Write the HTML report of the cohort: the volumes, the results of every method on each split, and the conclusions."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pipeline.config.sections import Report
from pipeline.files import write_text
from pipeline.reporting.pages.index import index_page
from pipeline.reporting.run_record import read_run_record
from pipeline.steps._framework import section

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step. A section of the report is shown if its table is given."""

    volumes_table: Path
    """One value per volume (volumes.csv)."""
    slices: Path
    """All measurements of slices (slices.csv)."""
    summary: Path
    """Means, intervals and comparisons (summary.csv)."""
    provenance: Path
    """Record of the run (provenance.json)."""
    models: list[Path]
    """Folders of the networks, with model_card.md and history.csv."""
    tables: list[Path] = field(default_factory=list)
    """Further tables, such as gates.csv."""
    output: Path
    """The report (.html)."""
    settings: Annotated[Report, section(Report)] = field(default_factory=Report)
    """Section `report` of the configuration."""


def run(options: Options) -> None:
    """Write the page."""
    record = read_run_record(
        options.volumes_table, options.slices, options.summary, options.provenance, options.models, options.tables
    )
    page = index_page(record, options.settings)
    write_text(options.output, page)
    logger.info("%s: %.1f MB", options.output, len(page) / 1e6)
