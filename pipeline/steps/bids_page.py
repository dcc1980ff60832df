"""Write the page of a subject, or of all subjects, of a BIDS data set whose images were restored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.config.bids.app import BidsData, BidsImage
from pipeline.config.load import read_entry
from pipeline.files import write_text
from pipeline.reporting.bids_report import read_bids_report
from pipeline.reporting.pages.bids import cohort_page, subject_page
from pipeline.steps._framework import entry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step; results are read from the folder of the page."""

    data: Annotated[BidsData, entry(BidsData, "data")]
    """The data set."""
    images: list[str]
    """The images, each as JSON (see `BidsImage`)."""
    subject: str | None = None
    """The subject; without it, the page is about all subjects."""
    output: Path
    """The page (.html)."""


def run(options: Options) -> None:
    """Write the page.

    Raises:
        UserError: a result or its sidecar is missing or damaged.
    """
    images = [read_entry(BidsImage, text, "images") for text in options.images]
    report = read_bids_report(options.data, images, options.output.parent)
    page = cohort_page(report) if options.subject is None else subject_page(report, options.subject)
    write_text(options.output, page)
    logger.info("%s: written, with %d of %d images", options.output, len(report.restored), len(images))
