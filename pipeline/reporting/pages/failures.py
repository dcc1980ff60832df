"""The page of a failed run: failed steps with their messages, finished results, and what to do next.

It is written in the environment of Snakemake itself, without numpy or pandas.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import __version__
from pipeline.reporting.snakemake_log import RunLog, error_message, last_lines, logs_with_errors
from pipeline.reporting.templates import render

PAGE_NAME = "failures.html"
RESULTS: Mapping[str, str] = {
    "sr/*": "super-resolved volumes",
    "models/*/generator.safetensors": "networks",
    "metrics/parts/*.csv": "evaluated volumes",
    "metrics/*.csv": "tables",
}
"""Title by pattern of the results that a run may have, below its folder."""


@dataclass(frozen=True)
class Failure:
    """A failed step on the page.

    Attributes:
        title: what the step should have done.
        rule: name of the rule; empty if only its log is known.
        outputs: files that the step should have written.
        logs: path and last lines of each log.
        message: error message; may be empty.
    """

    title: str
    rule: str
    outputs: tuple[str, ...]
    logs: tuple[tuple[str, list[str]], ...]
    message: str


@dataclass(frozen=True)
class EarlierPage:
    """An existing page and its time of writing."""

    name: str
    written: str


def failure_page(log: RunLog, run: Path, title: str) -> str:
    """Render the page as HTML.

    Args:
        log: summary of the failed run.
        run: folder of the run, such as results/demo, with the logs of its steps in logs/.
        title: heading of every page.
    """
    failures = failures_of(log, run / "logs")
    return render(
        "failures.html.j2",
        style_files=("style.css", "cohort.css"),
        scripts=("listing.js",),
        site_title=title,
        run_name=run.name,
        run_folder=str(run),
        headline=headline(log, failures),
        failures=failures,
        log=log,
        results=existing_results(run),
        pages=earlier_pages(run / "reports"),
        record={"brainsr": __version__},
    )


def failures_of(log: RunLog, logs: Path) -> list[Failure]:
    """Return the failed steps; if the log of the run names none, the steps whose own logs end in an error."""
    if log.failed:
        steps = [(step.title, step.rule, step.outputs, [Path(path) for path in step.logs]) for step in log.failed]
    elif log.stopped:
        steps = []
    else:
        steps = [(path.relative_to(logs).with_suffix("").as_posix(), "", (), [path]) for path in logs_with_errors(logs)]
    failures = []
    for title, rule, outputs, paths in steps:
        shown = tuple((str(path), last_lines(path)) for path in paths)
        message = error_message([line for _, lines in shown for line in lines])
        failures.append(Failure(title, rule, outputs, shown, message))
    return failures


def headline(log: RunLog, failures: Sequence[Failure]) -> str:
    """Describe the end of the run in one line."""
    if not failures:
        return "The run was stopped before it finished" if log.stopped else "The run did not finish"
    return "One step failed" if len(failures) == 1 else f"{len(failures)} steps failed"


def existing_results(run: Path) -> list[tuple[str, list[str]]]:
    """Return the title and the file names of each kind of result in the folder of a run."""
    found = [
        (title, sorted(path.relative_to(run).as_posix() for path in run.glob(pattern) if path.is_file()))
        for pattern, title in RESULTS.items()
    ]
    return [(title, names) for title, names in found if names]


def earlier_pages(folder: Path) -> list[EarlierPage]:
    """Return the existing pages other than the failure page."""
    return [
        EarlierPage(path.name, time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime)))
        for path in sorted(folder.glob("*.html"))
        if path.name != PAGE_NAME
    ]
