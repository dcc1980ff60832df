"""Write the page of a failed run: failed steps with their messages, finished results, and what to do next.

Snakemake calls this step when a run fails (workflow/rules/report.smk). The page is not the output of a rule: it is
written beside the reports, and the next successful run removes it. It needs only packages that Snakemake installs.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.config.load import read_section
from pipeline.config.sections import Report
from pipeline.files import write_text
from pipeline.reporting.pages.failures import failure_page
from pipeline.reporting.snakemake_log import read_run_logs
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings

logger = logging.getLogger(__name__)

CLOCK_SKEW = "could indicate a clock skew problem"
"""Message of Snakemake about an output that seems older than its inputs."""


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
    if any(has_clock_skew(path) for path in arguments.log):
        logger.warning(
            "some files have a modification time in the future. Correct the clock if it is wrong, set these files to "
            "the current time, and run again: find results resources -newermt now -exec touch {} +"
        )
    logger.info("%d failed; open %s", len(log.failed), arguments.output)


def has_clock_skew(log: Path) -> bool:
    """Return whether Snakemake stopped because of files with a modification time in the future."""
    try:
        return CLOCK_SKEW in log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
