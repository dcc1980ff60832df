"""Calibration of the uncertainty: predicted and observed errors."""

from __future__ import annotations

from pipeline.reporting.figures.reliability import pooled_bins, reliability_figure
from pipeline.reporting.section import Cell, Figures, Section, Table, Text, folded_table
from pipeline.reporting.tables import distinct, records, where
from pipeline.reporting.titles import in_order, method_title
from pipeline.reporting.volume_report import VolumeReport, curve_methods


def for_volume(volume: VolumeReport) -> Section | None:
    """Return the calibration curve of the main methods of a volume, and the bins of all methods."""
    if volume.reliability.empty:
        return None
    methods = in_order(distinct(volume.reliability, "method"), volume.deliver)
    drawn = [name for name in curve_methods(volume.baseline, volume.deliver) if name in methods]
    rows = [
        (
            Cell(method_title(method)),
            Cell.of(row["bin"], 0),
            Cell.of(row["predicted"]),
            Cell.of(row["observed"]),
            Cell.of(row["voxels"], 0),
        )
        for method in methods
        for row in records(where(volume.reliability, method=method))
    ]
    note = (
        "Voxels are sorted into bins by the standard deviation over test-time augmentation. If observed and predicted "
        "error increase together, the uncertainty map indicates where errors are."
    )
    figures = (reliability_figure(pooled_bins(volume.reliability), drawn, volume.deliver),) if drawn else ()
    headings = ("Method", "Bin", "Predicted error", "Observed error", "Voxels")
    return Section(
        "reliability",
        "Calibration of the uncertainty",
        (
            Text(note, "note"),
            Figures(figures),
            folded_table(Table("reliability-listing", "Predicted and observed error by bin", headings, tuple(rows))),
        ),
    )
