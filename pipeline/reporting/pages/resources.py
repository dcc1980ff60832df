"""The resources page: run time and memory of a run."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.sections import Report
from pipeline.provenance.record import Provenance
from pipeline.reporting.page import Page
from pipeline.reporting.resource_usage import Job
from pipeline.reporting.section import build_sections

SECTIONS = ("usage_by_rule", "longest_jobs")


def resources_page(jobs: Sequence[Job], record: Provenance, settings: Report) -> str:
    """Render the page as HTML.

    Args:
        jobs: all measured jobs of the run.
        record: provenance record (provenance.json).
        settings: section `report` of the configuration.
    """
    run = record.config.run
    page = Page(
        site_title=settings.title,
        title=f"Run time and memory of {run}",
        heading=f"Run time and memory of {run}",
        sections=build_sections("resources", jobs, SECTIONS),
        version=record.brainsr,
        pages=(("index.html", "All volumes"),),
    )
    return page.html()
