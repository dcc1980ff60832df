"""Run time and memory of every rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pipeline.reporting.figures.bars import draw_bars
from pipeline.reporting.numbers import format_duration, format_memory
from pipeline.reporting.resource_usage import Job, RuleUsage, maximum, total, usage_by_rule
from pipeline.reporting.section import Cell, Facts, Figure, Figures, Section, Table, Text

MAX_BARS = 12
"""Maximum number of rules in a figure; the table has all."""

MINUTE = 60.0
NOTE = (
    "Every job was measured by Snakemake on the machine where it ran. Jobs ran in parallel, so the run itself took "
    "less time than all jobs together. Processor time and memory were sampled, at first every half second and later "
    "every 30 seconds, and are lower bounds. A resumed training counts from its last start."
)


def for_resources(jobs: Sequence[Job]) -> Section:
    """Return the sums over all jobs, and time and memory of every rule."""
    blocks = (Text("No job of this run was measured."),)
    if jobs:
        usages = usage_by_rule(jobs)
        blocks = (
            Facts(tuple(resource_totals(jobs))),
            Text(NOTE, "note"),
            Figures(tuple(_figures(usages))),
            _table(usages),
        )
    return Section("by-rule", "By rule", blocks, link="By rule")


def resource_totals(jobs: Sequence[Job]) -> list[tuple[str, str]]:
    """Return the totals over all jobs; those that were not measured are left out."""
    cpu, memory = total(job.cpu_seconds for job in jobs), maximum(job.memory_mb for job in jobs)
    found = [("Jobs", str(len(jobs))), ("Total run time", format_duration(sum(job.seconds for job in jobs)))]
    if not math.isnan(cpu):
        found.append(("Processor time", format_duration(cpu)))
    if not math.isnan(memory):
        largest = next(job for job in jobs if job.memory_mb == memory)
        found.append(
            ("Peak memory of a job", f"{format_memory(memory)} ({largest.rule} {largest.name})".replace(" )", ")"))
        )
    return found


def _figures(usages: Sequence[RuleUsage]) -> Iterator[Figure]:
    """Draw the rules with the longest run time and with the largest memory."""
    slow = usages[:MAX_BARS]
    yield Figure(
        draw_bars(
            "Run time",
            "minutes",
            [usage.rule for usage in slow],
            [usage.seconds / MINUTE for usage in slow],
            [usage.cpu_seconds / MINUTE for usage in slow],
            ("run time, all jobs", "processor time, all cores"),
        ),
        "Run time of every rule, longest first: "
        + "; ".join(f"{usage.rule} {format_duration(usage.seconds)}" for usage in slow),
        "Total run time of all jobs of a rule. A longer processor time means that jobs used several cores.",
    )
    measured = [usage for usage in usages if not math.isnan(usage.memory_mb)]
    large = sorted(measured, key=lambda usage: usage.memory_mb, reverse=True)[:MAX_BARS]
    if large:
        yield Figure(
            draw_bars("Memory", "GiB", [usage.rule for usage in large], [usage.memory_mb / 1024 for usage in large]),
            "Peak memory of every rule, largest first: "
            + "; ".join(f"{usage.rule} {format_memory(usage.memory_mb)}" for usage in large),
            "Peak memory of a single job of each rule.",
        )


def _table(usages: Sequence[RuleUsage]) -> Table:
    whole = sum(usage.seconds for usage in usages)
    rows = [
        (
            Cell(usage.rule),
            Cell.of(usage.jobs, 0),
            duration_cell(usage.seconds),
            Cell.of(100 * usage.seconds / whole if whole else 0.0, 1, unit="%"),
            duration_cell(usage.cpu_seconds),
            Cell.of(usage.cpu_seconds / usage.seconds if usage.seconds else math.nan, 1),
            memory_cell(usage.memory_mb),
            Cell(usage.longest.name or usage.rule, aside=format_duration(usage.longest.seconds)),
        )
        for usage in usages
    ]
    headings = ("Rule", "Jobs", "Run time", "Share", "Processor time", "Cores", "Peak memory", "Longest job")
    return Table("rules", "Resources of every rule", headings, tuple(rows))


def duration_cell(seconds: float) -> Cell:
    """Return the cell of a duration."""
    return Cell(format_duration(seconds), seconds)


def memory_cell(mebibytes: float) -> Cell:
    """Return the cell of an amount of memory."""
    return Cell(format_memory(mebibytes), mebibytes)
