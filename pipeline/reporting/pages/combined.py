"""The page of a volume that was combined from several scans."""

from __future__ import annotations

from pipeline.config.sections import Report
from pipeline.inference.combine.combine import Combined
from pipeline.provenance.combined_record import CombinedRecord
from pipeline.reporting.combined_report import CombinedReport
from pipeline.reporting.figures.combined_gallery import build_combined_gallery
from pipeline.reporting.page import Page
from pipeline.reporting.section import build_sections
from pipeline.reporting.sections.gates import combined_banner

FIRST = ("combined_summary", "images", "scans", "gates", "uncertainty_map", "limitations")
LAST = ("methods", "references", "provenance")


def combined_page(name: str, found: Combined, record: CombinedRecord, settings: Report | None = None) -> str:
    """Return the page of a combined volume as HTML.

    Args:
        name: file name of the volume.
        found: volume and scans.
        record: record of the volume.
        settings: section `report` of the configuration; None for its defaults.
    """
    report = CombinedReport(name, record, build_combined_gallery(found))
    return Page(
        site_title=(settings or Report()).title,
        title=name,
        heading=name,
        sections=build_sections("combined", report, FIRST, LAST),
        version=record.version,
        lead=(combined_banner(report),),
    ).html()
