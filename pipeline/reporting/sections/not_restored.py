"""Images of a BIDS data set that were not restored, with the reasons."""

from __future__ import annotations

from pipeline.reporting.bids_report import BidsReport
from pipeline.reporting.section import Cell, Section, Table


def for_bids_subject(report: BidsReport) -> Section | None:
    """List the images that were not restored, if any."""
    if not report.failed:
        return None
    rows = tuple((Cell(image.path), Cell(image.failure)) for image in report.failed)
    table = Table("not-restored-table", "Images that were not restored", ("Image", "Reason"), rows, "plain")
    return Section("not-restored", "Not restored", (table,), link="Not restored", style="problems")


def for_bids_cohort(report: BidsReport) -> Section | None:
    """List the same for all subjects."""
    return for_bids_subject(report)
