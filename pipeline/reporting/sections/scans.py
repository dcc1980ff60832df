"""The scans of a combined volume: slices, noise, position of the head and intensities."""

from __future__ import annotations

from pipeline.provenance.combined_record import ScanRecord
from pipeline.reporting.combined_report import CombinedReport, describe_slices, scan_title
from pipeline.reporting.numbers import format_lengths, format_share
from pipeline.reporting.section import Cell, Section, Table, Text

NOTE = (
    "Rotation and shift of the head are relative to the first scan, at the centre of the volume. Noise is the "
    "estimated standard deviation, as a fraction of the intensity range of the scan. Gain is the intensity of a scan "
    "relative to the first one, after both were normalised. Slices are counted from 0, from left to right, from "
    "back to front, or from feet to head; weakened slices count less, those left out not at all."
)
HEADINGS = ("Scan", "Voxel size (mm)", "Slices", "Noise", "Rotation (°)", "Shift (mm)", "Gain", "Slices left out")


def for_combined(report: CombinedReport) -> Section:
    """Return a table with a row for every scan."""
    rows = tuple(_row(number, scan) for number, scan in enumerate(report.scans, start=1))
    table = Table("scans-table", "Scans in their order", HEADINGS, rows)
    return Section("scans", "Scans", (Text(NOTE, "note"), table), link="Scans")


def _row(number: int, scan: ScanRecord) -> tuple[Cell, ...]:
    left_out, weakened = scan.slices_left_out, scan.slices_weakened
    return (
        Cell(f"{number}. {scan_title(scan)}"),
        Cell(format_lengths(scan.voxel_mm, 3)),
        Cell(describe_slices(scan)),
        Cell(format_share(scan.noise_sigma, 1), 100 * scan.noise_sigma),
        Cell.of(scan.motion.angle_degrees, 2),
        Cell.of(scan.motion.shift_mm, 2),
        Cell.of(scan.gain, 3),
        Cell(
            _numbers(left_out) or "none",
            style="failed" if left_out else "",
            aside=f"weakened: {_numbers(weakened)}" if weakened else "",
        ),
    )


def _numbers(slices: tuple[int, ...]) -> str:
    return ", ".join(map(str, slices))
