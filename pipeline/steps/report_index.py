"""Write the page over all volumes: what they are, how every method fares on each split, and what that proves."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.config.load import read_section
from pipeline.config.sections import Report
from pipeline.files import write_text
from pipeline.reporting.cohort_inputs import COLUMNS, read_cohort
from pipeline.reporting.index_page import index_page
from pipeline.reporting.run_record import read_run_record
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.steps.report_volume import add_tables

logger = logging.getLogger(__name__)

OPTIONAL = {
    "comparisons": "every network against every other method",
    "gates": "limits that results must keep",
    "inserted": "structures of known place, and whether they were found",
    "detection_rates": "the share of them that every method shows, with intervals",
    "reliability": "predicted and observed errors",
    "tissue_agreement": "volumes of tissue against those of the reference",
    "diagnosis": "classes of pictures against those of the reference",
    "duplicates": "pictures and slices that stand in two splits",
}
"""Tables that not every run has, and what each holds."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_tables(parser)
    for name, purpose in OPTIONAL.items():
        # Rules name no path where a run makes no such table.
        help_text = f"{purpose} (.csv); without it this part of the page is left out"
        parser.add_argument(option(name), type=Path, nargs="*", default=[], metavar="PATH", help=help_text)
    add_path(parser, "--output", "the page (.html)")
    add_settings(parser, Report)


def option(table: str) -> str:
    """Return the option that names a table."""
    return f"--{table.replace('_', '-')}"


def main(arguments: Namespace) -> None:
    """Run the stage."""
    run = read_run_record(
        arguments.volumes_table, arguments.slices, arguments.summary, arguments.provenance, arguments.models
    )
    paths = {name: next(iter(getattr(arguments, name)), None) for name in COLUMNS}
    cohort = read_cohort(paths, arguments.models)
    page = index_page(run, read_section(Report, arguments.settings), cohort)
    write_text(arguments.output, page)
    logger.info("%s: %.1f MB", arguments.output, len(page) / 1e6)
