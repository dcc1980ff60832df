"""Write the page that says where time and memory of a run went, from the benchmarks that Snakemake wrote."""

from __future__ import annotations

import logging

from pipeline.config.load import read_section
from pipeline.config.sections import Report
from pipeline.files import read_json, write_text
from pipeline.reporting.resources_page import resources_page
from pipeline.reporting.usage import read_jobs
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    folders = "folders of benchmarks, whose files and folders on the first level are named after rules"
    add_path(parser, "--benchmarks", folders, many=True)
    add_path(parser, "--provenance", "what made the results (provenance.json)")
    add_path(parser, "--output", "the page (.html)")
    add_settings(parser, Report)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    jobs = read_jobs(arguments.benchmarks)
    page = resources_page(jobs, read_json(arguments.provenance), read_section(Report, arguments.settings))
    write_text(arguments.output, page)
    logger.info("%s: %d jobs", arguments.output, len(jobs))
