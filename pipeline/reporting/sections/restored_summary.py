"""Summary at the top of the pages of a BIDS data set whose images were restored."""

from __future__ import annotations

from pipeline.inference.result_check import WARN_BEYOND
from pipeline.reporting.bids_report import BidsReport
from pipeline.reporting.numbers import format_share
from pipeline.reporting.section import Section, Text
from pipeline.reporting.sections.summary import CAUTION
from pipeline.reporting.titles import method_title


def for_bids_subject(report: BidsReport) -> Section:
    """Return the numbers of images, the methods and the caution."""
    return Section("summary", "Summary", (Text(_sentences(report)), CAUTION), style="summary", has_heading=False)


def for_bids_cohort(report: BidsReport) -> Section:
    """Return the same for all subjects."""
    subjects = len(report.subjects)
    first = f"{subjects} subject{'s' if subjects != 1 else ''}: {_sentences(report)}"
    return Section("summary", "Summary", (Text(first), CAUTION), style="summary", has_heading=False)


def _sentences(report: BidsReport) -> str:
    restored, count = len(report.restored), report.count
    images = f"{restored} of {count} images were" if restored < count else _counted(count)
    if not report.restored:
        return f"None of {count} images was restored." if count > 1 else "The image was not restored."
    methods = ", ".join(map(method_title, report.methods))
    sentences = [f"{images} super-resolved by {methods}."]
    warned = sum(bool(one.sidecar.warnings) for one in report.restored)
    if warned:
        sentences.append(f"Warnings were logged about {warned} of them; see the table of images.")
    worst = max((one.sidecar.difference_beyond_noise or 0.0 for one in report.restored), default=0.0)
    sentences.append(
        f"Degraded to the grid of their inputs, results differ from them by at most {format_share(worst, 1)} of the "
        f"intensity range beyond the noise; valid results stay below {format_share(WARN_BEYOND)}."
    )
    return " ".join(sentences)


def _counted(count: int) -> str:
    return f"All {count} images were" if count > 1 else "The image was"
