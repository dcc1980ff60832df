"""The page of a failed run: failed steps with their messages, finished results, and what to do next.

It is written in the environment of Snakemake itself, without numpy or pandas.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from pipeline import __version__
from pipeline.files import write_text
from pipeline.reporting.page import Page
from pipeline.reporting.section import Block, Facts, Folded, Items, Preformatted, Section, Template, Text
from pipeline.reporting.snakemake_log import RunLog, error_message, last_lines, logs_with_errors, read_run_logs

PAGE_NAME = "failures.html"
MAX_OPEN_FILES = 12
"""Longer lists of files are folded."""
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
    """Return the page as HTML.

    Args:
        log: summary of the failed run.
        run: folder of the run, such as results/demo, with the logs of its steps in logs/.
        title: heading of every page.
    """
    failures = failures_of(log, run / "logs")
    page = Page(
        site_title=title,
        title=f"Failures of {run.name}",
        heading=f"The run {run.name} failed",
        sections=(
            _summary(log, failures),
            _failed_steps(log, failures),
            _next_steps(log, failures),
            _finished_steps(log, run),
        ),
        version=__version__,
    )
    return page.html()


def _summary(log: RunLog, failures: Sequence[Failure]) -> Section:
    facts = [("Started", log.date)] if log.date else []
    if log.done:
        facts.append(("Finished", f"{log.done[0]} of {log.done[1]} steps"))
    links = [_code_list('<a href="#failure-{}">{}</a>', [(place, one.title)]) for place, one in enumerate(failures, 1)]
    return Section(
        "summary",
        "Summary",
        (
            Text(headline(log, failures), "headline worse"),
            *([Items(tuple(links))] if links else []),
            *([Facts(tuple(facts))] if facts else []),
            Text(
                "This page describes a failed run. It contains no results and no evidence about any method. The next "
                "successful run removes it.",
                "caution",
            ),
        ),
        style="summary failed-run",
        has_heading=False,
    )


def _failed_steps(log: RunLog, failures: Sequence[Failure]) -> Section:
    blocks: tuple[Block, ...] = tuple(Template("failure", pair) for pair in enumerate(failures, start=1))
    if not blocks:
        blocks = (
            Text(
                "No step failed. The run was stopped by a user."
                if log.stopped
                else "The log of Snakemake names no failed step, and no step's log ends in an error. See the terminal "
                "output of Snakemake."
            ),
        )
    return Section("failed", "Failed steps", blocks, link="Failed steps")


def _next_steps(log: RunLog, failures: Sequence[Failure]) -> Section:
    advice = [
        f"Fix the cause given in the message{'s' if len(failures) > 1 else ''}, such as a damaged or missing file, a "
        "wrong setting, a full disk, or a memory or time limit."
    ]
    blocks: list[Block] = [
        Items(
            (
                *(advice if failures else ()),
                f"Start the run again with {'this' if log.command else 'the same'} command.",
                Markup(
                    "Finished steps are not repeated, and training resumes from its last checkpoint. With "
                    "<code>--keep-going</code>, steps that do not depend on a failed one still run."
                ),
            )
        )
    ]
    if log.command:
        blocks.append(Preformatted("Command", log.command))
    return Section("next", "Next steps", tuple(blocks), link="Next steps")


def _finished_steps(log: RunLog, run: Path) -> Section:
    counts = _code_list("<code>{}</code> {}", log.finished.items())
    text = Markup("In this run: {}.").format(counts) if log.finished else "No step finished in this run."
    blocks: list[Block] = [Text(text)]
    results = existing_results(run)
    if results:
        blocks.append(Text(Markup("Files in <code>{}</code>, from this run or earlier ones:").format(run)))
        for title, names in results:
            heading = f"{title[0].upper()}{title[1:]} ({len(names)})"
            items = Items(tuple(Markup("<code>{}</code>").format(name) for name in names))
            blocks.append(Folded(heading, (items,), is_open=len(names) <= MAX_OPEN_FILES))
    pages = earlier_pages(run / "reports")
    if pages:
        link = Markup('<a href="{}">{}</a> <span class="aside">written {}</span>')
        blocks += [
            Text("Existing pages. They were written before this run failed and may be out of date:"),
            Items(tuple(link.format(quote(page.name), page.name, page.written) for page in pages)),
        ]
    return Section("finished", "Finished steps", tuple(blocks), link="Finished steps")


def _code_list(form: str, values: Iterable[tuple[object, object]]) -> Markup:
    """Return pairs as HTML, separated by commas."""
    return Markup(", ").join(Markup(form).format(*pair) for pair in values)


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
