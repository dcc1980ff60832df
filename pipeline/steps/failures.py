"""Write a page on a run that failed: which step, what it said, what was finished before, and what to do next.

Snakemake calls it when a run fails (workflow/rules/report.smk). The page is no output of a rule: it stands beside the
reports, never in place of one, and the next run that succeeds removes it. It needs nothing but what Snakemake installs.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.config.load import read_section
from pipeline.config.sections import Report
from pipeline.files import write_text
from pipeline.reporting.failure_log import read_run_logs
from pipeline.reporting.failure_page import failure_page
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings

logger = logging.getLogger(__name__)

CLOCK_SKEW = "could indicate a clock skew problem"
"""What Snakemake says when something that was just made seems older than what it was made of."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    text = "logs that snakemake wrote (.snakemake/log/...); without them, the logs of the steps are looked through"
    parser.add_argument("--log", type=Path, nargs="*", default=[], metavar="PATH", help=text)
    add_path(parser, "--run", "folder of the run, such as results/demo")
    add_path(parser, "--output", "the page (.html)")
    add_settings(parser, Report)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    log = read_run_logs(arguments.log)
    settings = read_section(Report, arguments.settings)
    write_text(arguments.output, failure_page(log, arguments.run, settings.title))
    if any(tells_of_clock_skew(path) for path in arguments.log):
        logger.warning(
            "some files have a time that is still to come. Set the clock right if it is wrong, give these files the "
            "time of now, and run again: find results resources -newermt now -exec touch {} +"
        )
    logger.info("%d failed; open %s", len(log.failed), arguments.output)


def tells_of_clock_skew(log: Path) -> bool:
    """Return whether Snakemake stopped because files come from the future, by its log."""
    try:
        return CLOCK_SKEW in log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
