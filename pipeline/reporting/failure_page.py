"""The page on a run that failed: which step, what it said, what was finished before, what to do next.

It is written by what Snakemake itself installs: no tables, no arrays.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import __version__
from pipeline.files import write_text
from pipeline.reporting.failure_log import (
    FailedStep,
    RunLog,
    last_lines,
    message_of,
    read_run_logs,
    troubled_logs,
)
from pipeline.reporting.templates import render

PAGE_NAME = "failures.html"
FOLDERS: Mapping[str, str] = {
    "sr/*": "sharpened volumes",
    "models/*/generator.safetensors": "networks",
    "metrics/parts/*.csv": "measured volumes",
    "metrics/*.csv": "tables",
}
"""What a run may have made, as patterns below its folder."""


@dataclass(frozen=True)
class Failure:
    """A failed step as the page shows it.

    Attributes:
        title: what the step was to do.
        rule: its name; empty where only its log is known.
        outputs: what it was to write.
        logs: where its log lies, with the last lines.
        message: what it said; may be empty.
    """

    title: str
    rule: str
    outputs: tuple[str, ...]
    logs: tuple[tuple[str, list[str]], ...]
    message: str


@dataclass(frozen=True)
class EarlierPage:
    """A page that exists, and when it was written."""

    name: str
    written: str


CLOCK_SKEW = "could indicate a clock skew problem"
"""Snakemake's message where a new file seems older than its inputs."""


def write_failure_page(logs: Sequence[Path], run: Path, title: str, output: Path) -> str:
    """Write the page on a failed run from Snakemake's logs.

    The page is no output of a rule: it never replaces a report, and the next run that succeeds removes it.

    Args:
        logs: logs that Snakemake wrote (.snakemake/log/...); if these name no failed step, logs of steps are searched.
        run: folder of the run, such as results/demo.
        title: heading of every page.
        output: the page (.html).

    Returns:
        Messages for the terminal, one a line.

    Raises:
        UserError: the page cannot be written.
    """
    log = read_run_logs(logs)
    write_text(output, failure_page(log, run, title))
    message = f"{len(log.failed)} failed; open {output}"
    if any(CLOCK_SKEW in path.read_text(encoding="utf-8", errors="replace") for path in logs if path.is_file()):
        message += (
            "\nSome files have a time in the future. Set the clock right if it is wrong, give these files the current "
            "time, and run again: find results resources -newermt now -exec touch {} +"
        )
    return message


def failure_page(log: RunLog, run: Path, title: str) -> str:
    """Write the page as HTML.

    Args:
        log: what the run did.
        run: folder of the run, such as results/demo, with the logs of its steps in logs/.
        title: heading of every page.
    """
    failures = failures_of(log, run / "logs")
    return render(
        "failures.html.j2",
        style_files=("style.css", "cohort.css"),
        scripts=("tables.js",),
        site_title=title,
        run_name=run.name,
        run_folder=str(run),
        headline=headline(log, failures),
        failures=failures,
        log=log,
        made=made(run),
        pages=earlier_pages(run / "reports"),
        record={"brainsr": __version__},
    )


def failures_of(log: RunLog, logs: Path) -> list[Failure]:
    """Return the steps that failed; where the run's own log names none, the logs of steps that end in an error."""
    if log.failed:
        return [_failure(step) for step in log.failed]
    if log.stopped:
        return []
    return [_of_log(path, logs) for path in troubled_logs(logs)]


def _failure(step: FailedStep) -> Failure:
    logs = tuple((path, last_lines(Path(path))) for path in step.logs)
    return Failure(step.title, step.rule, step.outputs, logs, message_of([line for _, lines in logs for line in lines]))


def _of_log(path: Path, logs: Path) -> Failure:
    lines = last_lines(path)
    name = path.relative_to(logs).with_suffix("").as_posix()
    return Failure(name, "", (), ((str(path), lines),), message_of(lines))


def headline(log: RunLog, failures: Sequence[Failure]) -> str:
    """Says in one line how the run ended."""
    if not failures:
        return "The run was stopped before its end" if log.stopped else "The run ended before its end"
    return "One step failed" if len(failures) == 1 else f"{len(failures)} steps failed"


def made(run: Path) -> list[tuple[str, list[str]]]:
    """Return what lies in the folder of the run: what it is, and the names below the run's folder."""
    found = [
        (title, sorted(path.relative_to(run).as_posix() for path in run.glob(pattern) if path.is_file()))
        for pattern, title in FOLDERS.items()
    ]
    return [(title, names) for title, names in found if names]


def earlier_pages(folder: Path) -> list[EarlierPage]:
    """Return the pages that exist, with the time at which each was written; that on failures is none of them."""
    pages = sorted(path for path in folder.glob("*.html") if path.name != PAGE_NAME)
    return [EarlierPage(path.name, _clock(path.stat().st_mtime)) for path in pages]


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
