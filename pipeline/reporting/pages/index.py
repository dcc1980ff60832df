"""The index page: the results of a run over all volumes."""

from __future__ import annotations

from pipeline.config.sections import Report
from pipeline.reporting.page import Page
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import build_sections

FIRST = (
    *("summary", "problems", "conclusions", "volumes", "metrics"),
    *("gates", "detail_ledger", "inserted_structures", "reliability", "comparisons", "tissue_volumes", "diagnosis"),
    *("membranes", "cells"),
)
LAST = ("near_duplicates", "training_overview", "data", "methods", "references", "provenance", "licences")
TRAINING, RESOURCES = ("training.html", "Training"), ("resources.html", "Time and memory")


def index_page(run: RunRecord, settings: Report) -> str:
    """Return the index page as HTML.

    Args:
        run: tables and records of the run.
        settings: section `report` of the configuration.
    """
    name = run.provenance.config.run
    return Page(
        site_title=settings.title,
        title=name,
        heading=f"Results of the run {name}",
        sections=build_sections("index", run, FIRST, LAST),
        version=run.provenance.brainsr,
        pages=(TRAINING, RESOURCES) if run.models else (RESOURCES,),
    ).html()
