"""Tissue volumes: how far the same segmentation gives other volumes in a result than in the reference."""

from __future__ import annotations

from pipeline.reporting.cells import difference_cell, method_cell, sorted_rows, split_cell
from pipeline.reporting.frames import distinct, records, where
from pipeline.reporting.numbers import MISSING, format_interval
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell, Section, Table, Text
from pipeline.reporting.titles import in_order, readable
from pipeline.reporting.volume_report import VolumeReport
from pipeline.tables.tissue_agreement import TISSUE_AGREEMENT


def for_index(run: RunRecord) -> Section | None:
    """Show bias and limits of agreement over the test volumes."""
    agreement = run.tested(TISSUE_AGREEMENT)
    if agreement.empty:
        return None
    rows = tuple(
        (
            method_cell(row["method"], run.deliver),
            split_cell(row["split"]),
            Cell(readable(row["tissue"])),
            difference_cell(row["bias_ml"], row["bias_ci_low"], row["bias_ci_high"]),
            Cell(format_interval(row["loa_low_ml"], row["loa_high_ml"]) or MISSING),
            Cell.of(row["n"], 0),
        )
        for row in sorted_rows(agreement, run.deliver)
    )
    headings = ("Method", "Split", "Tissue", "Bias (ml)", "Limits of agreement (ml)", "Subjects")
    return Section(
        "tissue",
        "Tissue volumes",
        (
            Text(
                "Volume of each tissue in the result minus its volume in the reference, from the same segmentation "
                "of both (Bland and Altman).",
                "note",
            ),
            Table("tissue-table", "Agreement of tissue volumes with the reference", headings, rows),
        ),
    )


def for_volume(volume: VolumeReport) -> Section | None:
    """List the tissue volumes of all methods."""
    tissue = volume.tissue
    if tissue.empty:
        return None
    rows = tuple(
        (
            method_cell(method, volume.deliver),
            Cell(readable(row["tissue"])),
            *(Cell.of(row[name]) for name in ("reference_ml", "method_ml", "dice")),
        )
        for method in in_order(distinct(tissue, "method"), volume.deliver)
        for row in records(where(tissue, method=method))
    )
    headings = ("Method", "Tissue", "Reference (ml)", "Result (ml)", "Dice coefficient")
    note = "The reference and all results were segmented by the same method."
    table = Table("tissue-table", "Tissue volumes", headings, rows)
    return Section("tissue", "Tissue volumes", (Text(note, "note"), table))
