"""Diagnosis: how often a classifier assigns a restored picture to the class of its reference."""

from __future__ import annotations

from pipeline.reporting.cells import difference_cell, method_cell, sorted_rows, split_cell
from pipeline.reporting.numbers import format_interval
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell, Section, Table, Text
from pipeline.reporting.titles import method_title
from pipeline.tables.diagnosis import DIAGNOSIS


def for_index(run: RunRecord) -> Section | None:
    """Show accuracy and agreement with the class of the reference over the test pictures."""
    diagnosis = run.tested(DIAGNOSIS)
    if diagnosis.empty:
        return None
    rows = tuple(
        (
            method_cell(row["method"], run.deliver),
            split_cell(row["split"]),
            Cell.of(row["pictures"], 0),
            Cell.of(row["accuracy"], 3),
            Cell.of(
                row["agreement"],
                3,
                interval=format_interval(row["agreement_ci_low"], row["agreement_ci_high"], 3, sign=False),
            ),
            difference_cell(row["diff"], row["diff_ci_low"], row["diff_ci_high"], 3),
            Cell(method_title(str(row["baseline"]))),
        )
        for row in sorted_rows(diagnosis, run.deliver)
    )
    headings = ("Method", "Split", "Pictures", "Accuracy", "Agreement", "Difference", "Baseline")
    return Section(
        "diagnosis",
        "Agreement of diagnoses",
        (
            Text(
                "A classifier trained on reference pictures is applied to restored ones. Agreement: share of pictures "
                "with the same class as their reference, and its difference from the baseline with the best agreement "
                "on validation. The classes are not a diagnosis.",
                "note",
            ),
            Table("diagnosis-table", "Classes of restored pictures", headings, rows),
        ),
    )
