"""The jobs with the longest run time."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pipeline.reporting.resource_usage import Job
from pipeline.reporting.section import Cell, Section, Table, Text
from pipeline.reporting.sections.usage_by_rule import duration_cell, memory_cell

MAX_JOBS = 15
"""Maximum number of listed jobs."""


def for_resources(jobs: Sequence[Job]) -> Section | None:
    """Return the table of the longest jobs."""
    if not jobs:
        return None
    rows = [
        (
            Cell(job.name or job.rule),
            Cell(job.rule),
            duration_cell(job.seconds),
            duration_cell(job.cpu_seconds),
            memory_cell(job.memory_mb),
        )
        for job in sorted(jobs, key=lambda job: (-job.seconds, job.rule, job.name))[:MAX_JOBS]
    ]
    headings = ("Job", "Rule", "Run time", "Processor time", "Peak memory")
    note = Markup("The files in <code>benchmarks/</code> of the run contain all jobs, with more columns.")
    blocks = (Table("jobs", "The longest jobs", headings, tuple(rows)), Text(note, "note"))
    return Section("longest", "Longest jobs", blocks, link="Longest jobs")
