"""Near-duplicates: pictures and slices that resemble one of another split."""

from __future__ import annotations

from pipeline.reporting.cells import split_cell, text_cell
from pipeline.reporting.frames import records
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Block, Cell, Section, Table, Text
from pipeline.tables.duplicates import DUPLICATES

MAX_LISTED = 2000
"""Maximum number of rows shown; all of them are in the file."""


def for_index(run: RunRecord) -> Section | None:
    """List pictures and slices with a near-duplicate in another split."""
    duplicates = run.table(DUPLICATES)
    if duplicates.empty:
        return None
    rows = tuple(
        (
            text_cell(row["picture"]),
            split_cell(row["split"]),
            text_cell(row["volume"]),
            text_cell(row["near_duplicate_of"]),
            split_cell(row["near_duplicate_split"]),
            text_cell(row["near_duplicate_volume"]),
            Cell.of(row["distance"], 0),
        )
        for row in records(duplicates.head(MAX_LISTED))
    )
    blocks: list[Block] = [
        Text(
            "Pictures and slices of two splits whose perceptual hashes (64 bits) differ in few bits. Such pictures are "
            "left out of the test; slices of volumes stay in, because only a person can judge whether they show the "
            "same head.",
            "note",
        )
    ]
    if len(duplicates) > len(rows):
        blocks.append(Text(f"{len(duplicates) - len(rows)} more are listed in duplicates.csv.", "note"))
    headings = ("Picture or slice", "Split", "Volume", "Resembles", "Split", "Volume", "Differing bits")
    table = Table("duplicates-table", "Near-duplicate pictures and slices", headings, rows)
    return Section("duplicates", "Near-duplicates across splits", (*blocks, table))
