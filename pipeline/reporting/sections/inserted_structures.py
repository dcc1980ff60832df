"""Lesion-insertion study: detection of inserted structures."""

from __future__ import annotations

from pipeline.reporting.figures.detection import detection_figures
from pipeline.reporting.section import Cell, Figures, Section, Table, Text, folded_table
from pipeline.reporting.tables import distinct, records, where
from pipeline.reporting.titles import in_order, method_title
from pipeline.reporting.volume_report import VolumeReport, curve_methods

TITLE = "Inserted structures"


def for_volume(volume: VolumeReport) -> Section | None:
    """Return the detection rates of a volume for the main methods, and the counts of all methods."""
    if volume.inserted.empty:
        return None
    rows = [
        (
            Cell(method_title(method)),
            Cell(str(row["kind"]).replace("_", " ")),
            Cell.of(row["size_voxels"]),
            Cell.of(row["contrast"], sign=True),
            *(Cell.of(row[name], 0) for name in ("inserted", "detected", "false_alarms")),
        )
        for method in in_order(distinct(volume.inserted, "method"), volume.deliver)
        for row in records(where(volume.inserted, method=method))
    ]
    headings = ("Method", "Structure", "Size (voxels)", "Contrast", "Inserted", "Detected", "False alarms")
    note = (
        "Small structures were inserted into the reference before it was degraded. A method that detects none of a size "
        "also removes real structures of that size. A false alarm is a detection where nothing was inserted."
    )
    drawn = curve_methods(volume.baseline, volume.deliver)
    return Section(
        "inserted",
        TITLE,
        (
            Text(note, "note"),
            Figures(detection_figures(volume.inserted, drawn, volume.deliver)),
            folded_table(Table("inserted-listing", "Inserted structures, all methods", headings, tuple(rows))),
        ),
    )
