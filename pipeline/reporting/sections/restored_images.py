"""The restored images of a BIDS data set: methods, voxel sizes, noise, agreement with the input and warnings."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.config.bids.app import IMAGE, RESULT
from pipeline.inference.result_check import WARN_BEYOND
from pipeline.reporting.bids_report import BidsReport, RestoredImage
from pipeline.reporting.numbers import format_lengths, format_share
from pipeline.reporting.section import Cell, Folded, Items, Section, Table, Text
from pipeline.reporting.titles import method_title

HEADINGS = ("Image", "Method", "Voxel size (mm)", "Result (mm)", "Noise", "Difference from input", "Warnings")
NOTE = (
    "Voxel sizes along the axes of the file. Noise is the standard deviation given to the network, as a fraction of "
    "the intensity range, and is estimated from the image. The difference is that between the result, degraded to "
    "the grid of its input, and that input (root mean square beyond the noise, as a fraction of the intensity range)."
)


def for_bids_subject(report: BidsReport) -> Section | None:
    """Return a row for every image, and the warnings about each; images link to their results."""
    return _section(report, lambda one: one.image.path_of(RESULT, IMAGE))


def for_bids_cohort(report: BidsReport) -> Section | None:
    """Return the same for all subjects; images link to the pages of their subjects."""
    return _section(report, lambda one: f"{one.image.subject}.html")


def _section(report: BidsReport, link: Callable[[RestoredImage], str]) -> Section | None:
    if not report.restored:
        return None
    rows = tuple(_row(one, link(one)) for one in report.restored)
    warned = [one for one in report.restored if one.sidecar.warnings]
    folded = tuple(Folded(f"Warnings: {one.file_name}", (Items(one.sidecar.warnings),)) for one in warned)
    table = Table("restored-table", "Restored images", HEADINGS, rows)
    return Section("restored", "Images", (Text(NOTE, "note"), table, *folded), link="Images")


def _row(one: RestoredImage, link: str) -> tuple[Cell, ...]:
    sidecar = one.sidecar
    difference, count = sidecar.difference_beyond_noise, len(sidecar.warnings)
    return (
        Cell(one.file_name, link=link),
        Cell(method_title(sidecar.method)),
        Cell(format_lengths(sidecar.source_voxel_size_millimetres, 3)),
        Cell(format_lengths(sidecar.voxel_size_millimetres, 3)),
        _share(sidecar.noise_sigma),
        _share(difference, "failed" if difference is not None and difference > WARN_BEYOND else ""),
        Cell(str(count) if count else "none", float(count)),
    )


def _share(value: float | None, style: str = "") -> Cell:
    return Cell("n/a") if value is None else Cell(format_share(value, 1), 100 * value, style)
