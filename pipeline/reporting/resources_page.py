"""The page that says where the time and the memory of a run went."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.config.sections import Report
from pipeline.reporting.figures.bars import draw_bars
from pipeline.reporting.figures.training_curves import Drawing
from pipeline.reporting.listing import Entry, Listing, number
from pipeline.reporting.methods_text import Record
from pipeline.reporting.templates import render
from pipeline.reporting.usage import Job, Usage, by_rule, duration_words, largest, memory_words, total

MAX_BARS = 12
"""Rules of a drawing; the others stand in the table."""

MAX_JOBS = 15
"""Rows of the table of single jobs."""

MINUTE = 60.0


def resources_page(jobs: Sequence[Job], record: Record, settings: Report) -> str:
    """Write the page as HTML.

    Args:
        jobs: all jobs of the run that were measured.
        record: what made the results (provenance.json).
        settings: the section `report`.
    """
    usages = by_rule(jobs)
    return render(
        "resources.html.j2",
        style_files=("style.css", "cohort.css"),
        scripts=("tables.js",),
        site_title=settings.title,
        run_name=record["config"]["run"],
        facts=facts(jobs),
        drawings=drawings(usages),
        rules=rule_listing(usages),
        jobs=job_listing(jobs),
        record=record,
    )


def facts(jobs: Sequence[Job]) -> list[tuple[str, str]]:
    """Return the sums over all jobs, as pairs of what and how much; nothing where no job was measured."""
    if not jobs:
        return []
    cpu, memory = total(job.cpu_seconds for job in jobs), largest(job.memory_mb for job in jobs)
    found = [("Jobs", str(len(jobs))), ("Time of all jobs together", duration_words(sum(job.seconds for job in jobs)))]
    if not math.isnan(cpu):
        found.append(("Processor time", duration_words(cpu)))
    if not math.isnan(memory):
        hungriest = next(job for job in jobs if job.memory_mb == memory)
        found.append(("Most memory of one job", f"{memory_words(memory)} ({called(hungriest)})"))
    return found


def called(job: Job) -> str:
    """Return what a reader calls a job."""
    return f"{job.rule} {job.name}".strip()


def drawings(usages: Sequence[Usage]) -> list[Drawing]:
    """Draw the time and the memory of the rules that took most of it."""
    if not usages:
        return []
    slow = usages[:MAX_BARS]
    hungry = sorted(
        usages, key=lambda usage: -math.inf if math.isnan(usage.memory_mb) else usage.memory_mb, reverse=True
    )
    hungry = [usage for usage in hungry if not math.isnan(usage.memory_mb)][:MAX_BARS]
    told = "; ".join(f"{usage.rule} {duration_words(usage.seconds)}" for usage in slow)
    time = Drawing(
        draw_bars(
            "Time",
            "minutes",
            [usage.rule for usage in slow],
            [usage.seconds / MINUTE for usage in slow],
            [usage.cpu_seconds / MINUTE for usage in slow],
            ("from start to end, all jobs", "processor time, all cores"),
        ),
        f"Time of every rule, the longest first: {told}",
        "Time of all jobs of a rule. Where the processor time is longer, a job used several cores.",
    )
    if not hungry:
        return [time]
    told = "; ".join(f"{usage.rule} {memory_words(usage.memory_mb)}" for usage in hungry)
    memory = Drawing(
        draw_bars("Memory", "GiB", [usage.rule for usage in hungry], [usage.memory_mb / 1024 for usage in hungry]),
        f"Memory of every rule, the largest first: {told}",
        "The most memory that one job of a rule held.",
    )
    return [time, memory]


def rule_listing(usages: Sequence[Usage]) -> Listing:
    """Return the table over all rules."""
    headings = ("Rule", "Jobs", "Time", "Share", "Processor time", "Cores", "Most memory", "Longest job")
    whole = sum(usage.seconds for usage in usages)
    return Listing("rules", "What every rule took", headings, tuple(_rule_row(usage, whole) for usage in usages))


def _rule_row(usage: Usage, whole: float) -> tuple[Entry, ...]:
    share = 100 * usage.seconds / whole if whole else 0.0
    cores = usage.cpu_seconds / usage.seconds if usage.seconds else float("nan")
    return (
        Entry(usage.rule),
        Entry(str(usage.jobs), usage.jobs),
        _duration(usage.seconds),
        number(share, 1, unit=" %"),
        _duration(usage.cpu_seconds),
        number(cores, 1),
        _memory(usage.memory_mb),
        Entry(usage.longest.name or usage.rule, aside=duration_words(usage.longest.seconds)),
    )


def job_listing(jobs: Sequence[Job]) -> Listing:
    """Return the table of the jobs that took longest."""
    headings = ("Job", "Rule", "Time", "Processor time", "Most memory")
    longest = sorted(jobs, key=lambda job: (-job.seconds, job.rule, job.name))[:MAX_JOBS]
    rows = (
        (
            Entry(job.name or job.rule),
            Entry(job.rule),
            _duration(job.seconds),
            _duration(job.cpu_seconds),
            _memory(job.memory_mb),
        )
        for job in longest
    )
    return Listing("jobs", "The longest jobs", headings, tuple(rows))


def _duration(seconds: float) -> Entry:
    return number(seconds) if math.isnan(seconds) else Entry(duration_words(seconds), seconds)


def _memory(memory_mb: float) -> Entry:
    return number(memory_mb) if math.isnan(memory_mb) else Entry(memory_words(memory_mb), memory_mb)
