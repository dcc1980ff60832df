"""Tissue volumes in the reference and in the results."""

from __future__ import annotations

from pipeline.reporting.section import Cell, Section, Table, Text
from pipeline.reporting.tables import distinct, records, where
from pipeline.reporting.titles import in_order, method_title
from pipeline.reporting.volume_report import VolumeReport


def for_volume(volume: VolumeReport) -> Section | None:
    """Return the tissue volumes of all methods."""
    if volume.tissue.empty:
        return None
    rows = [
        (
            Cell(method_title(method)),
            Cell(str(row["tissue"]).replace("_", " ")),
            *(Cell.of(row[name]) for name in ("reference_ml", "method_ml", "dice")),
        )
        for method in in_order(distinct(volume.tissue, "method"), volume.deliver)
        for row in records(where(volume.tissue, method=method))
    ]
    headings = ("Method", "Tissue", "Reference (ml)", "Result (ml)", "Dice coefficient")
    note = "The reference and all results were segmented by the same method."
    table = Table("tissue-listing", "Tissue volumes", headings, tuple(rows))
    return Section("tissue", "Tissue volumes", (Text(note, "note"), table))
