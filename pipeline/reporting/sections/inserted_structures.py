"""Inserted structures: how many synthetic lesions and vessels can still be detected after each method."""

from __future__ import annotations

from typing import Any

from pipeline.reporting.cells import difference_cell, method_cell, share_cell, sorted_rows, split_cell
from pipeline.reporting.figures.detection import detection_figures
from pipeline.reporting.frames import distinct, records, where
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Block, Cell, Figures, Section, Table, Text, folded_table
from pipeline.reporting.titles import REFERENCE, baselines, in_order, readable
from pipeline.reporting.volume_report import VolumeReport, curve_methods
from pipeline.tables.detection_rates import DETECTION_RATES
from pipeline.tables.inserted_structures import INSERTED_STRUCTURES


def for_index(run: RunRecord) -> Section | None:
    """Show detection rates by size and contrast over all test volumes, with intervals for all structures together."""
    counts = run.tested(INSERTED_STRUCTURES)
    rates: Any = run.tested(DETECTION_RATES)
    if counts.empty:
        return None
    methods = in_order(distinct(counts, "method"), run.deliver)[::-1]
    drawn = [name for name in methods if name in (run.deliver, run.baseline, REFERENCE) or name not in baselines()]
    blocks: list[Block] = [
        Text(
            "Structures of known position, size and contrast were inserted into the reference before it was degraded, "
            "and a model observer was applied to every result. Detected: share of the inserted structures that were "
            "detected. False alarms: share of positions without a structure at which one was detected.",
            "note",
        ),
        Text(
            "The table lists all structures together, with confidence intervals over slices and positions (and "
            "over subjects, where there are several). It compares the deliverable with each other method at the same "
            "positions, before and after subtracting the false alarms. With a single subject, the intervals do not "
            "extend to other subjects.",
            "note",
        ),
        Figures(detection_figures(counts, drawn, run.deliver)),
    ]
    together = rates[rates["kind"] == ""]
    by_condition = rates[rates["size_voxels"].notna()]
    if not together.empty:
        blocks.append(_together(sorted_rows(together, run.deliver), run.deliver))
    if not by_condition.empty:
        blocks.append(folded_table(_by_condition(sorted_rows(by_condition, run.deliver), run.deliver)))
    return Section("inserted", "Inserted structures", tuple(blocks), link="Inserted structures")


def for_volume(volume: VolumeReport) -> Section | None:
    """Show detection rates of the main methods by size and contrast, and the counts of all methods."""
    counts = volume.inserted
    if counts.empty:
        return None
    rows = tuple(
        (
            method_cell(method, volume.deliver),
            Cell(readable(row["kind"])),
            Cell.of(row["size_voxels"]),
            Cell.of(row["contrast"], sign=True),
            *(Cell.of(row[name], 0) for name in ("inserted", "detected", "false_alarms")),
        )
        for method in in_order(distinct(counts, "method"), volume.deliver)
        for row in records(where(counts, method=method))
    )
    headings = ("Method", "Structure", "Size (voxels)", "Contrast", "Inserted", "Detected", "False alarms")
    note = (
        "Small structures were inserted into the reference before it was degraded. A method that detects none of a "
        "size also removes real structures of that size. A false alarm is a detection where nothing was inserted."
    )
    drawn = curve_methods(volume.baseline, volume.deliver)
    return Section(
        "inserted",
        "Inserted structures",
        (
            Text(note, "note"),
            Figures(detection_figures(counts, drawn, volume.deliver)),
            folded_table(Table("inserted-counts", "Inserted structures, all methods", headings, rows)),
        ),
    )


def _together(rows: list[dict], deliver: str) -> Table:
    headings = ("Method", "Split", "Subjects", "Inserted", "Detected", "False alarms")
    headings = (*headings, "Deliverable minus this method (points)", "The same, minus false alarms")
    return Table(
        "inserted-rates",
        "All inserted structures",
        headings,
        tuple(
            (
                method_cell(row["method"], deliver),
                split_cell(row["split"]),
                Cell.of(row["subjects"], 0),
                Cell.of(row["inserted"], 0),
                share_cell(row["rate"], row["ci_low"], row["ci_high"]),
                share_cell(row["false_alarm_rate"]),
                _points(row["diff"], row["diff_ci_low"], row["diff_ci_high"]),
                _points(row["net_diff"], row["net_diff_ci_low"], row["net_diff_ci_high"]),
            )
            for row in rows
        ),
    )


def _by_condition(rows: list[dict], deliver: str) -> Table:
    return Table(
        "inserted-conditions",
        "Inserted structures by kind, size and contrast",
        ("Method", "Structure", "Size (voxels)", "Contrast", "Split", "Inserted", "Detected", "False alarms"),
        tuple(
            (
                method_cell(row["method"], deliver),
                Cell(readable(row["kind"])),
                Cell.of(row["size_voxels"]),
                Cell.of(row["contrast"], sign=True),
                split_cell(row["split"]),
                Cell.of(row["inserted"], 0),
                share_cell(row["rate"], row["ci_low"], row["ci_high"]),
                share_cell(row["false_alarm_rate"]),
            )
            for row in rows
        ),
    )


def _points(value: float, low: float, high: float) -> Cell:
    """Return the cell of a difference in percentage points, coloured where its interval excludes zero."""
    better = "better" if low > 0 else "worse" if high < 0 else ""
    return difference_cell(100 * value, 100 * low, 100 * high, 1, better=better)
