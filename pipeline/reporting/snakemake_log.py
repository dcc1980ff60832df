"""Read the log of a Snakemake run: failed and finished steps.

Only the standard library is used, because the failure page is written in the environment of Snakemake itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_LOG_LINES = 40
"""Number of lines shown from the end of a step's log."""
MAX_LINE_LENGTH = 2000
"""Number of characters shown of a line."""
TAIL_BYTES = 200_000
"""Number of bytes read from the end of a step's log; the log of a training can be long."""

JOB = re.compile(r"Job (\d+): (.*)")
FINISHED = re.compile(r"Finished jobid: (\d+)(?: \(Rule: (\w+)\))?")
PROGRESS = re.compile(r"(\d+) of (\d+) steps \(\S+%\) done")
STARTED = re.compile(r"  (Date|Command): (.*)")
FAILED = re.compile(r"(\s*)Error in rule (\w+):")
FAILED_IN_GROUP = re.compile(r"(\s{8,})rule (\w+):")
"""Failed step of a job group on a cluster."""
FIELD = re.compile(r"(\s+)([\w-]+): (.*)")
SHOWN_LOG = re.compile(r"Logfile .*:")
FENCE = re.compile("=+")
STOPPED = ("Terminating processes on user request", "Cancelling snakemake on user request")
LOG_REMARK = " (check log file(s) for error details)"


@dataclass(frozen=True)
class FailedStep:
    """A failed step.

    Attributes:
        rule: name of the rule.
        title: message of the rule; its name if it has no message.
        outputs: files that the step should have written.
        logs: log files of the step.
    """

    rule: str
    title: str
    outputs: tuple[str, ...]
    logs: tuple[str, ...]


@dataclass(frozen=True)
class RunLog:
    """Summary of one run.

    Attributes:
        date: start of the run; empty if the log lacks it.
        command: command line of the run; empty if the log lacks it.
        failed: steps that failed and did not succeed on a retry, in the order of the log.
        finished: number of finished steps by rule, in the order of the log.
        done: number of finished steps and of all steps; None if the log lacks it.
        stopped: whether a person stopped the run.
    """

    date: str
    command: str
    failed: tuple[FailedStep, ...]
    finished: Mapping[str, int]
    done: tuple[int, int] | None
    stopped: bool


def read_run_logs(paths: Sequence[Path]) -> RunLog:
    """Read the log files of Snakemake; a file that cannot be read counts as empty."""
    return parse_run_log("\n".join(_read_text(path) for path in paths))


def parse_run_log(text: str) -> RunLog:
    """Parse the text of a Snakemake log."""
    lines = list(_without_shown_logs(text.splitlines()))
    titles = {match[1]: match[2] for line in lines if (match := JOB.fullmatch(line.strip()))}
    finished = [match for line in lines if (match := FINISHED.match(line.strip()))]
    done = [match for line in lines if (match := PROGRESS.match(line.strip()))]
    header = {match[1]: match[2] for line in reversed(lines) if (match := STARTED.fullmatch(line))}
    finished_jobs = {match[1] for match in finished}
    failed = {job: step for job, step in _failed_steps(lines, titles) if job not in finished_jobs}
    return RunLog(
        date=header.get("Date", ""),
        command=header.get("Command", ""),
        failed=tuple(failed.values()),
        finished=Counter(match[2] or "step" for match in finished),
        done=(int(done[-1][1]), int(done[-1][2])) if done else None,
        stopped=any(phrase in line for line in lines for phrase in STOPPED),
    )


def _without_shown_logs(lines: Sequence[str]) -> Iterator[str]:
    """Skip the logs of steps, which Snakemake repeats between two rows of equal signs: they can contain anything."""
    place = 0
    while place < len(lines):
        line = lines[place]
        place += 1
        yield line
        if SHOWN_LOG.fullmatch(line) and place < len(lines) and FENCE.fullmatch(lines[place]):
            fence = lines[place]
            ends = (other for other in range(place + 1, len(lines)) if lines[other] == fence)
            place = next(ends, len(lines)) + 1


def _failed_steps(lines: Sequence[str], titles: Mapping[str, str]) -> Iterator[tuple[str, FailedStep]]:
    """Yield the job number and the record of every failure."""
    for place, line in enumerate(lines):
        match = FAILED.fullmatch(line) or FAILED_IN_GROUP.fullmatch(line)
        if match is None:
            continue
        fields = _fields(lines[place + 1 :], len(match[1]) + 4)
        job = fields.get("jobid", f"line {place}")
        outputs, logs = (
            tuple(part for part in fields.get(name, "").removesuffix(LOG_REMARK).split(", ") if part)
            for name in ("output", "log")
        )
        yield job, FailedStep(match[2], titles.get(job, match[2]), outputs, logs)


def _fields(lines: Iterable[str], indent: int) -> dict[str, str]:
    """Return the "name: value" lines of a block with the given indent, which ends at the first smaller indent."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line.startswith(" " * indent):
            break
        match = FIELD.fullmatch(line)
        if match and len(match[1]) == indent:
            fields.setdefault(match[2], match[3])
    return fields


def last_lines(path: Path) -> list[str]:
    """Return the end of a step's log, with only the last state of a progress bar; empty if there is no log."""
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in _read_text(path, TAIL_BYTES).split("\n")]
    return [line[:MAX_LINE_LENGTH] for line in lines if line][-MAX_LOG_LINES:]


def error_message(lines: Sequence[str]) -> str:
    """Return the error message at the end of a log: after "error: ", else the last line, as of a traceback."""
    starts = [place for place, line in enumerate(lines) if line.startswith("error: ")]
    if starts:
        return "\n".join(lines[starts[-1] :]).removeprefix("error: ")
    return lines[-1] if lines else ""


def logs_with_errors(folder: Path) -> list[Path]:
    """Return the logs below a folder that end in an error, for runs whose own log names no failed step."""
    marks = ("error: ", "Traceback (most recent call last)")
    return [path for path in sorted(folder.rglob("*.log")) if any(line.startswith(marks) for line in last_lines(path))]


def _read_text(path: Path, max_bytes: int | None = None) -> str:
    try:
        with path.open("rb") as stream:
            if max_bytes is not None:
                stream.seek(max(0, path.stat().st_size - max_bytes))
            return stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
