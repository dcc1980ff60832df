"""Membranes: how well neurons can be separated in a restored volume, compared with a segmentation by people."""

from __future__ import annotations

from pipeline.reporting.cells import difference_cell, method_cell, sorted_rows, split_cell
from pipeline.reporting.numbers import format_interval
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell, Section, Table, Text
from pipeline.reporting.titles import method_title
from pipeline.tables.membrane_agreement import MEMBRANE_AGREEMENT


def for_index(run: RunRecord) -> Section | None:
    """Show variation of information and adapted Rand error over the blocks of the test volumes."""
    agreement = run.tested(MEMBRANE_AGREEMENT)
    if agreement.empty:
        return None
    rows = tuple(
        (
            method_cell(row["method"], run.deliver),
            split_cell(row["split"]),
            Cell.of(row["voi"], 3, interval=format_interval(row["voi_ci_low"], row["voi_ci_high"], 3, sign=False)),
            Cell.of(row["voi_split"], 3),
            Cell.of(row["voi_merge"], 3),
            Cell.of(
                row["rand_error"],
                3,
                interval=format_interval(row["rand_error_ci_low"], row["rand_error_ci_high"], 3, sign=False),
            ),
            difference_cell(row["diff"], row["diff_ci_low"], row["diff_ci_high"], 3),
            Cell(method_title(str(row["baseline"]))),
            Cell.of(row["blocks"], 0),
        )
        for row in sorted_rows(agreement, run.deliver)
    )
    headings = (
        *("Method", "Split", "Variation of information (bits)", "Divided", "Joined", "Adapted Rand error"),
        *("Difference (bits)", "Baseline", "Blocks"),
    )
    return Section(
        "membranes",
        "Neurons separated by their membranes",
        (
            Text(
                "A random forest finds membranes, a watershed separates neurons, and the result is compared with a "
                "manual segmentation. The forest was trained on another part of the reference and is not part of any "
                "loss. Lower is better; the reference itself is the best possible result. The difference is "
                "from the baseline with the lowest variation of information. Intervals are over blocks, and "
                "neighbouring blocks share neurons: they do not extend to other specimens.",
                "note",
            ),
            Table("membranes-table", "Segmentation of neurons", headings, rows),
        ),
    )
