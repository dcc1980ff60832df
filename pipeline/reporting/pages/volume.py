"""The page of one volume."""

from __future__ import annotations

from pipeline.config.sections import Report
from pipeline.reporting.page import Page
from pipeline.reporting.section import build_sections
from pipeline.reporting.sections.gates import gate_banner
from pipeline.reporting.volume_report import VolumeReport

FIRST = (
    *("volume_summary", "limitations", "viewer", "metrics", "similarity"),
    *("gates", "inserted_structures", "reliability", "tissue_volumes", "images"),
)
LAST = ("methods", "references", "provenance", "licences")


def volume_page(volume: VolumeReport, settings: Report) -> str:
    """Return the page of a volume as HTML.

    Args:
        volume: inputs of the page.
        settings: section `report` of the configuration.
    """
    combined = ((f"{volume.id}.combined.html", "Combined scans"),) if volume.is_combined else ()
    return Page(
        site_title=settings.title,
        title=volume.id,
        heading=volume.id,
        sections=build_sections("volume", volume, FIRST, LAST),
        version=volume.run.provenance.brainsr,
        pages=(("index.html", "All volumes"), *combined),
        lead=gate_banner(volume),
        split=volume.split,
        split_title=volume.split_title,
    ).html(scripts=("script.js", "viewer.js", "tables.js"))
