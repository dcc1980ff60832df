"""What a run of Snakemake did, read from its log: which steps failed, and what was finished.

Only the standard library is used: the page on failures is written in the environment that Snakemake runs in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LAST_LINES = 40
"""Lines of a step's log that are shown, from its end."""
LONGEST_LINE = 2000
"""Characters of a line that are shown."""
TAIL_BYTES = 200_000
"""The end of a log that is looked at: logs of trainings can be long."""

JOB = re.compile(r"Job (\d+): (.*)")
FINISHED = re.compile(r"Finished jobid: (\d+)(?: \(Rule: (\w+)\))?")
PROGRESS = re.compile(r"(\d+) of (\d+) steps \(\S+%\) done")
STARTED = re.compile(r"  (Date|Command): (.*)")
FAILED = re.compile(r"(\s*)Error in rule (\w+):")
FAILED_IN_GROUP = re.compile(r"(\s{8,})rule (\w+):")
"""Of steps that a cluster ran together."""
FIELD = re.compile(r"(\s+)([\w-]+): (.*)")
SHOWN_LOG = re.compile(r"Logfile .*:")
FENCE = re.compile("=+")
STOPPED = ("Terminating processes on user request", "Cancelling snakemake on user request")
LOG_REMARK = " (check log file(s) for error details)"


@dataclass(frozen=True)
class FailedStep:
    """A step that failed.

    Attributes:
        rule: its name.
        title: what it was to do, in the words of the rule; the rule's name where it has none.
        outputs: what it was to write.
        logs: where it wrote what it did.
    """

    rule: str
    title: str
    outputs: tuple[str, ...]
    logs: tuple[str, ...]


@dataclass(frozen=True)
class RunLog:
    """What one run did.

    Attributes:
        date: when it began; empty where the log does not say.
        command: how it was called; empty where the log does not say.
        failed: steps that failed and did not succeed when they were tried again, in the order of the log.
        finished: how many steps of every rule were finished, in the order of the log.
        done: steps that were finished, and how many there were to do; None where the log does not say.
        stopped: whether a person stopped it.
    """

    date: str
    command: str
    failed: tuple[FailedStep, ...]
    finished: Mapping[str, int]
    done: tuple[int, int] | None
    stopped: bool


def read_run_logs(paths: Sequence[Path]) -> RunLog:
    """Read the logs that Snakemake wrote; one that cannot be read counts as empty."""
    return parse_run_log("\n".join(_text(path) for path in paths))


def parse_run_log(text: str) -> RunLog:
    """Read the text of Snakemake's log."""
    lines = list(_without_shown_logs(text.splitlines()))
    titles = {match[1]: match[2] for line in lines if (match := JOB.fullmatch(line.strip()))}
    finished = [match for line in lines if (match := FINISHED.match(line.strip()))]
    done = [match for line in lines if (match := PROGRESS.match(line.strip()))]
    facts = {match[1]: match[2] for line in reversed(lines) if (match := STARTED.fullmatch(line))}
    ended = {match[1] for match in finished}
    steps = {job: step for job, step in _failed_steps(lines, titles) if job not in ended}
    return RunLog(
        date=facts.get("Date", ""),
        command=facts.get("Command", ""),
        failed=tuple(steps.values()),
        finished=Counter(match[2] or "step" for match in finished),
        done=(int(done[-1][1]), int(done[-1][2])) if done else None,
        stopped=any(phrase in line for line in lines for phrase in STOPPED),
    )


def _without_shown_logs(lines: Sequence[str]) -> Iterator[str]:
    """Leave out the logs of steps that Snakemake repeats between two rows of equal signs: they may hold anything."""
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
    """Yield every failure with the number of its job."""
    for place, line in enumerate(lines):
        match = FAILED.fullmatch(line) or FAILED_IN_GROUP.fullmatch(line)
        if match is None:
            continue
        fields = _fields(lines[place + 1 :], len(match[1]) + 4)
        job = fields.get("jobid", f"line {place}")
        yield (
            job,
            FailedStep(
                rule=match[2],
                title=titles.get(job, match[2]),
                outputs=_paths(fields.get("output", "")),
                logs=_paths(fields.get("log", "").removesuffix(LOG_REMARK)),
            ),
        )


def _fields(lines: Iterable[str], indent: int) -> dict[str, str]:
    """Return the fields of a block: lines of this indent that name something, until a line has a smaller one."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line.startswith(" " * indent):
            break
        match = FIELD.fullmatch(line)
        if match and len(match[1]) == indent:
            fields.setdefault(match[2], match[3])
    return fields


def _paths(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(", ") if part)


def last_lines(path: Path) -> list[str]:
    """Return the end of a step's log, of a progress bar only its last state; nothing where there is no log."""
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in _text(path, TAIL_BYTES).split("\n")]
    return [line[:LONGEST_LINE] for line in lines if line][-LAST_LINES:]


def message_of(lines: Sequence[str]) -> str:
    """Return what a step said as it failed: its message, the last line of a traceback, or else its last line."""
    starts = [place for place, line in enumerate(lines) if line.startswith("error: ")]
    if starts:
        return "\n".join(lines[starts[-1] :]).removeprefix("error: ")
    return lines[-1] if lines else ""


def troubled_logs(folder: Path) -> list[Path]:
    """Return the logs below a folder that end in an error, for runs whose own log names no step."""
    return [path for path in sorted(folder.rglob("*.log")) if _is_troubled(last_lines(path))]


def _is_troubled(lines: Sequence[str]) -> bool:
    return any(line.startswith(("error: ", "Traceback (most recent call last)")) for line in lines)


def _text(path: Path, most: int | None = None) -> str:
    try:
        with path.open("rb") as stream:
            if most is not None:
                stream.seek(max(0, path.stat().st_size - most))
            return stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
