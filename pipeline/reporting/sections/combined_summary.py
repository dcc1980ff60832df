"""Summary at the top of the page of a combined volume."""

from __future__ import annotations

from pipeline.reporting.combined_report import CombinedReport, voxel_text
from pipeline.reporting.numbers import format_lengths, format_number
from pipeline.reporting.section import Section, Text
from pipeline.reporting.sections.summary import CAUTION


def for_combined(report: CombinedReport) -> Section:
    """Return the result in two sentences, and the caution."""
    record, scans = report.record, report.scans
    sizes = list(dict.fromkeys(voxel_text(scan.voxel_mm) for scan in scans))
    first = (
        f"{len(scans)} scans with voxels of {_listed(sizes)} were combined into one volume of "
        f"{format_lengths(record.shape)} voxels of {voxel_text(record.voxel_mm)}."
    )
    angle, shift = max(scan.motion.angle_degrees for scan in scans), max(scan.motion.shift_mm for scan in scans)
    motion = f"{format_number(angle, 2)} degrees and {format_number(shift, 2)} mm"
    moved = f"the largest motion between scans is {motion}" if record.settings["motion"] else "motion was not estimated"
    gates, failed = len(report.gates), len(report.failed)
    passed = f"passes all {gates} consistency gates" if not failed else f"fails {failed} of {gates} consistency gates"
    left_out = sum(len(scan.slices_left_out) for scan in scans)
    slices = f"{left_out or 'no'} slice{' was' if left_out == 1 else 's were'} left out"
    second = f"It {passed}, {slices}, and {moved}."
    blocks = (Text(f"{first} {second}"), CAUTION)
    return Section("summary", "Summary", blocks, style="summary", has_heading=False)


def _listed(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
