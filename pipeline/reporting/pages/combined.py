"""The page of a volume that was combined from several scans."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.config.combine import Combine
from pipeline.config.sections import Report
from pipeline.fidelity.gate.scans import check_scans
from pipeline.files import write_text
from pipeline.inference.combine.combine import Combined
from pipeline.provenance.combined import record_of, write_record
from pipeline.provenance.combined_record import CombinedRecord
from pipeline.reporting.combined_report import CombinedReport
from pipeline.reporting.figures.combined_gallery import build_combined_gallery
from pipeline.reporting.page import Page
from pipeline.reporting.section import build_sections
from pipeline.reporting.sections.gates import combined_banner

logger = logging.getLogger(__name__)

FIRST = ("combined_summary", "images", "scans", "gates", "uncertainty_map", "limitations")
LAST = ("methods", "references", "provenance")

Links = tuple[tuple[str, str], ...]
"""Pairs of address and text."""


def write_reports(
    output: Path, found: Combined, settings: Combine, page: Path | None = None, pages: Links = ()
) -> CombinedRecord:
    """Check a combined volume with the gates, and write its record and its page.

    Args:
        output: file of the volume; the record is written beside it.
        found: volume and scans.
        settings: the section `combine`.
        page: file of the page; None for no page.
        pages: links to other pages in the navigation.

    Returns:
        The record.
    """
    gates = check_scans(found)
    for scan in gates.all:
        for check in scan.failed:
            logger.warning(
                "%s: inconsistent with %s: %s is %.3g, limit %.3g (consistency gate). Find out why before you use it.",
                *(output.name, scan.scan, check.gate, check.value, check.limit),
            )
    record = record_of(found, settings, gates)
    write_record(output, record)
    if page is not None:
        write_text(page, combined_page(output.name, found, record, pages))
    return record


def combined_page(name: str, found: Combined, record: CombinedRecord, pages: Links = ()) -> str:
    """Return the page of a combined volume as HTML.

    Args:
        name: file name of the volume.
        found: volume and scans.
        record: record of the volume.
        pages: links to other pages in the navigation.
    """
    report = CombinedReport(name, record, build_combined_gallery(found))
    return Page(
        site_title=Report().title,
        title=name,
        heading=name,
        sections=build_sections("combined", report, FIRST, LAST),
        version=record.version,
        pages=pages,
        lead=(combined_banner(report),),
    ).html()
