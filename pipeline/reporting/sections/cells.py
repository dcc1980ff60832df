"""Cells: how many of them are found in a restored volume, compared with the reference."""

from __future__ import annotations

from pipeline.reporting.cells import difference_cell, method_cell, sorted_rows, split_cell
from pipeline.reporting.numbers import format_interval
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell, Section, Table, Text
from pipeline.reporting.titles import method_title
from pipeline.tables.cell_agreement import CELL_AGREEMENT


def for_index(run: RunRecord) -> Section | None:
    """Show F1 score, precision and recall over the slices of the test volumes."""
    agreement = run.tested(CELL_AGREEMENT)
    if agreement.empty:
        return None
    rows = tuple(
        (
            method_cell(row["method"], run.deliver),
            split_cell(row["split"]),
            Cell.of(row["f1"], 3, interval=format_interval(row["f1_ci_low"], row["f1_ci_high"], 3, sign=False)),
            Cell.of(row["precision"], 3),
            Cell.of(row["recall"], 3),
            Cell.of(row["found"], 0),
            Cell.of(row["cells"], 0),
            difference_cell(row["diff"], row["diff_ci_low"], row["diff_ci_high"], 3),
            Cell(method_title(str(row["baseline"]))),
            Cell.of(row["slices"], 0),
        )
        for row in sorted_rows(agreement, run.deliver)
    )
    headings = (
        *("Method", "Split", "F1 score", "Precision", "Recall", "Cells found", "Cells in the reference"),
        *("Difference of F1", "Baseline", "Slices"),
    )
    return Section(
        "cells",
        "Cells",
        (
            Text(
                "Bright spots of the size of a cell are detected slice by slice, with the same threshold in the "
                "reference and in every restored volume, and matched one to one. Where slices were dropped, only "
                "these are compared. Higher is better; the difference is from the baseline with the highest F1 score. "
                "The cells of the reference were found by the same detector, not annotated by hand. Intervals are over "
                "slices, and neighbouring slices show the same cells: they do not extend to other specimens.",
                "note",
            ),
            Table("cells-table", "Cells found in restored volumes", headings, rows),
        ),
    )
