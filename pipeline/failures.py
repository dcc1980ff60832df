"""Writes a page on a run that failed: which step, what it said, what was finished before, and what to do next.

Snakemake calls it when a run fails (workflow/rules/report.smk). The page is no output of a rule: it stands beside the
reports, never in place of one, and the next run that succeeds removes it. It needs nothing but what Snakemake installs.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.config.load import read_section
from pipeline.config.stages import Report
from pipeline.files import write_text
from pipeline.reporting.failure_log import read_run_logs
from pipeline.reporting.failure_page import failure_page

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options of this stage."""
    text = "logs that snakemake wrote (.snakemake/log/...); without them, the logs of the steps are looked through"
    parser.add_argument("--log", type=Path, nargs="*", default=[], metavar="PATH", help=text)
    add_path(parser, "--run", "folder of the run, such as results/demo")
    add_path(parser, "--output", "the page (.html)")
    add_settings(parser, Report)


def main(arguments: Namespace) -> None:
    """Runs the stage."""
    log = read_run_logs(arguments.log)
    settings = read_section(Report, arguments.settings)
    write_text(arguments.output, failure_page(log, arguments.run, settings.title))
    logger.info("%d failed; open %s", len(log.failed), arguments.output)
