"""Run time and memory of the jobs of a run, as measured by Snakemake (its documentation: "Benchmark rules")."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.reporting.titles import method_title

VOLUME_STEPS = (("extract", "Extraction"), ("degrade", "Degradation"))
"""Benchmark folder and title of the jobs that process one volume."""
SHARD_STEPS = (("interpolate", "Baselines"), ("infer", "Inference"), ("evaluate", "Evaluation"))
"""The same for jobs that process a shard of several volumes."""


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        rule: name of the rule.
        name: what the job processed, such as a volume; empty if the rule has a single job.
        seconds: wall-clock time.
        cpu_seconds: processor time over all cores; NaN if it was not measured, as for very short jobs.
        memory_mb: peak resident set size in MiB; NaN if it was not measured.
    """

    rule: str
    name: str
    seconds: float
    cpu_seconds: float
    memory_mb: float


@dataclass(frozen=True)
class RuleUsage:
    """All jobs of one rule; times in seconds, memory in MiB, NaN if no job was measured."""

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float
    memory_mb: float
    longest: Job


@dataclass(frozen=True)
class Shard:
    """Name of the shard that a volume belongs to, and its number of volumes."""

    name: str
    volumes: int


def read_jobs(folders: Iterable[Path]) -> list[Job]:
    """Read all benchmarks below folders whose first level is named after the rules.

    Raises:
        UserError: a file is not a benchmark.
    """
    jobs = []
    for folder in folders:
        for path in sorted(folder.rglob("*.tsv")):
            rule, *parts = path.relative_to(folder).with_suffix("").parts
            jobs += read_benchmark(path, rule, "/".join(parts))
    return jobs


def read_benchmark(path: Path, rule: str, name: str = "") -> list[Job]:
    """Read the benchmark file of one job: one row per repetition.

    Raises:
        UserError: the file is not a benchmark.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        return [
            Job(rule, name, float(row["s"]), *(_number(row.get(key)) for key in ("cpu_time", "max_rss")))
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a Snakemake benchmark. Delete the file and run again.") from error


def _number(text: str | None) -> float:
    """Parse a measurement; Snakemake writes NA or - for a missing one."""
    return math.nan if text in (None, "", "-", "NA") else float(text)


def read_volume_jobs(folder: Path | None, volume: str, shard: Shard, networks: Sequence[str]) -> list[tuple[str, Job]]:
    """Read title and benchmark of the trainings and of the jobs that processed a volume, as far as they were measured.

    Args:
        folder: folder of the benchmarks of a run; None gives an empty list.
        volume: name of the volume.
        shard: shard of the volume.
        networks: names of the networks.

    Raises:
        UserError: a file is not a benchmark.
    """
    if folder is None:
        return []
    together = "" if shard.volumes == 1 else f" ({shard.volumes} volumes together)"
    files = [(f"Training of {method_title(name)}", "train", Path(name)) for name in networks]
    files += [(title, step, Path(volume)) for step, title in VOLUME_STEPS]
    for step, title in SHARD_STEPS:
        if step == "infer":
            files += [(f"{title}: {method_title(name)}{together}", step, Path(name, shard.name)) for name in networks]
        else:
            files.append((title + together, step, Path(shard.name)))
    return [
        (title, job)
        for title, step, name in files
        if (path := folder / step / f"{name}.tsv").is_file()
        for job in read_benchmark(path, step, str(name))
    ]


def usage_by_rule(jobs: Sequence[Job]) -> list[RuleUsage]:
    """Summarise the jobs of every rule, sorted by falling run time."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.rule, []).append(job)
    found = [
        RuleUsage(
            rule,
            len(group),
            sum(job.seconds for job in group),
            total(job.cpu_seconds for job in group),
            maximum(job.memory_mb for job in group),
            max(group, key=lambda job: job.seconds),
        )
        for rule, group in groups.items()
    ]
    return sorted(found, key=lambda usage: (-usage.seconds, usage.rule))


def total(values: Iterable[float]) -> float:
    """Return the sum of all values but NaN; NaN if there are none."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) if known else math.nan


def maximum(values: Iterable[float]) -> float:
    """Return the maximum of all values but NaN; NaN if there are none."""
    return max((value for value in values if not math.isnan(value)), default=math.nan)
