"""Write the index page: the results of the run over all volumes."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.config.load import read_section
from pipeline.config.sections import Report
from pipeline.files import write_text
from pipeline.reporting.pages.index import index_page
from pipeline.reporting.run_record import read_run_record
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.steps.report_volume import add_tables

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_tables(parser)
    help_text = "further tables, such as gates.csv; sections without their table are left out"
    parser.add_argument("--tables", type=Path, nargs="*", default=[], metavar="PATH", help=help_text)
    add_path(parser, "--output", "the page (.html)")
    add_settings(parser, Report)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    run = read_run_record(
        arguments.volumes_table,
        arguments.slices,
        arguments.summary,
        arguments.provenance,
        arguments.models,
        arguments.tables,
    )
    page = index_page(run, read_section(Report, arguments.settings))
    write_text(arguments.output, page)
    logger.info("%s: %.1f MB", arguments.output, len(page) / 1e6)
