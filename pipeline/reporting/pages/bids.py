"""Pages of a BIDS data set whose images were restored: one per subject, and one of all subjects."""

from __future__ import annotations

from pipeline import __version__
from pipeline.config.sections import Report
from pipeline.reporting.bids_report import BidsReport
from pipeline.reporting.page import Page
from pipeline.reporting.section import build_sections

FIRST = ("restored_summary", "not_restored", "restored_images", "images", "limitations")
LAST = ("methods", "references")


def subject_page(report: BidsReport, subject: str) -> str:
    """Return the page of a subject as HTML.

    Args:
        report: images of the subject.
        subject: such as sub-01.
    """
    return _page("bids_subject", report, f"{subject} of {report.data.title}")


def cohort_page(report: BidsReport) -> str:
    """Return the page of all subjects as HTML."""
    return _page("bids_cohort", report, report.data.title)


def _page(name: str, report: BidsReport, heading: str) -> str:
    return Page(
        site_title=Report().title,
        title=heading,
        heading=heading,
        sections=build_sections(name, report, FIRST, LAST),
        version=__version__,
    ).html()
