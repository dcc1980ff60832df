"""What the jobs of a run took, rule by rule, from what Snakemake measured of each (docs: "Benchmarking")."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        rule: its rule.
        name: what it was about, such as a volume; empty where the rule has one job.
        seconds: from start to end.
        cpu_seconds: of processor time, over all cores; NaN where it was not measured, as of very short jobs.
        memory_mb: the most memory that it held, in MiB (resident set size); NaN where it was not measured.
    """

    rule: str
    name: str
    seconds: float
    cpu_seconds: float
    memory_mb: float


@dataclass(frozen=True)
class Usage:
    """What all jobs of one rule took; times in seconds, memory in MiB, NaN where no job was measured."""

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float
    memory_mb: float
    longest: Job


def read_jobs(folders: Iterable[Path]) -> list[Job]:
    """Read the benchmarks in folders, whose files and folders on the first level are named after rules.

    Raises:
        UserError: a file is no benchmark.
    """
    return [
        job
        for folder in folders
        for path in sorted(folder.rglob("*.tsv"))
        for job in _read(path, path.relative_to(folder).with_suffix(""))
    ]


def _read(path: Path, place: Path) -> list[Job]:
    rule, *parts = place.parts
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return [
                Job(
                    rule,
                    "/".join(parts),
                    float(row["s"]),
                    _number(row.get("cpu_time")),
                    _number(row.get("max_rss")),
                )
                for row in csv.DictReader(stream, delimiter="\t")
            ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: is no benchmark of Snakemake; delete it and run again.") from error


def _number(text: str | None) -> float:
    """Return a measured number; Snakemake writes NA or - for what it did not measure."""
    return float("nan") if text in (None, "", "-", "NA") else float(text)


def by_rule(jobs: Sequence[Job]) -> list[Usage]:
    """Return what every rule took, that of the longest time first."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.rule, []).append(job)
    found = [
        Usage(
            rule,
            len(group),
            sum(job.seconds for job in group),
            total(job.cpu_seconds for job in group),
            largest(job.memory_mb for job in group),
            max(group, key=lambda job: job.seconds),
        )
        for rule, group in groups.items()
    ]
    return sorted(found, key=lambda usage: (-usage.seconds, usage.rule))


def total(values: Iterable[float]) -> float:
    """Return the sum of what was measured; NaN where nothing was."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) if known else float("nan")


def largest(values: Iterable[float]) -> float:
    """Return the largest of what was measured; NaN where nothing was."""
    return max((value for value in values if not math.isnan(value)), default=float("nan"))


def duration_words(seconds: float) -> str:
    """Write a time as a reader sees it: "1 h 3 min", "2 min 5 s" or "3.4 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def memory_words(memory_mb: float) -> str:
    """Write an amount of memory given in MiB."""
    return f"{memory_mb / 1024:.1f} GiB" if memory_mb >= 1024 else f"{memory_mb:.0f} MiB"  # noqa: PLR2004
