"""Write the HTML report of time and memory per job, from Snakemake's benchmarks."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pipeline.config.sections import Report
from pipeline.files import write_text
from pipeline.provenance.record import read_provenance
from pipeline.reporting.pages.resources import resources_page
from pipeline.reporting.resource_usage import read_jobs
from pipeline.steps._framework import section

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    benchmarks: list[Path]
    """Folders of benchmarks; their files and folders on the first level are named after rules."""
    provenance: Path
    """Record of the run (provenance.json)."""
    output: Path
    """The report (.html)."""
    settings: Annotated[Report, section(Report)] = field(default_factory=Report)
    """Section `report` of the configuration."""


def run(options: Options) -> None:
    """Write the page."""
    jobs = read_jobs(options.benchmarks)
    page = resources_page(jobs, read_provenance(options.provenance), options.settings)
    write_text(options.output, page)
    logger.info("%s: %d jobs", options.output, len(jobs))
