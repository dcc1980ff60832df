"""Writes the page over all volumes: what they are, how every method fares on each split, and what that proves."""

from __future__ import annotations

import logging

from pipeline.cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.config.load import read_section
from pipeline.config.stages import Report
from pipeline.files import write_text
from pipeline.report import add_tables
from pipeline.reporting.index_page import index_page
from pipeline.reporting.inputs import read_run_record

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options of this stage."""
    add_tables(parser)
    add_path(parser, "--output", "the page (.html)")
    add_settings(parser, Report)


def main(arguments: Namespace) -> None:
    """Runs the stage."""
    run = read_run_record(
        arguments.volumes_table, arguments.slices, arguments.summary, arguments.provenance, arguments.models
    )
    page = index_page(run, read_section(Report, arguments.settings))
    write_text(arguments.output, page)
    logger.info("%s: %.1f MB", arguments.output, len(page) / 1e6)
