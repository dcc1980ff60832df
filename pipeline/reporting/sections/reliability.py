"""Reliability of the uncertainty: how well predicted errors agree with observed ones."""

from __future__ import annotations

import pandas as pd

from pipeline.reporting.cells import method_cell
from pipeline.reporting.figures.reliability import pooled_bins, reliability_figure
from pipeline.reporting.frames import distinct, records, where
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell, Figures, Section, Table, Text, folded_table
from pipeline.reporting.titles import in_order
from pipeline.reporting.volume_report import VolumeReport, curve_methods
from pipeline.tables.reliability import RELIABILITY


def for_index(run: RunRecord) -> Section | None:
    """Compare predicted and observed errors over all test volumes."""
    bins = pooled_bins(run.tested(RELIABILITY))
    if bins.empty:
        return None
    methods = in_order(distinct(bins, "method"), run.deliver)[::-1]
    note = (
        "Voxels are binned by their predicted absolute error; the mean observed error of every bin is plotted against "
        "it. On the dashed line the two agree; above it, errors are larger than predicted."
    )
    return _section(bins, methods, methods, run.deliver, note)


def for_volume(volume: VolumeReport) -> Section | None:
    """Compare predicted and observed errors in one volume."""
    bins = pooled_bins(volume.reliability)
    if bins.empty:
        return None
    methods = in_order(distinct(bins, "method"), volume.deliver)
    drawn = [name for name in curve_methods(volume.baseline, volume.deliver) if name in methods]
    note = (
        "Voxels are binned by the standard deviation over test-time augmentation. If observed and predicted errors "
        "increase together, the uncertainty map indicates where errors are."
    )
    return _section(bins, methods, drawn, volume.deliver, note)


def _section(bins: pd.DataFrame, methods: list[str], drawn: list[str], deliver: str, note: str) -> Section:
    """Return the figure of the drawn methods, and the bins of all methods."""
    rows = tuple(
        (
            method_cell(method, deliver),
            *(Cell.of(row[name]) for name in ("bin", "predicted", "observed")),
            Cell.of(row["voxels"], 0),
        )
        for method in methods
        for row in records(where(bins, method=method))
    )
    headings = ("Method", "Bin", "Predicted", "Observed", "Voxels")
    figures = (reliability_figure(bins, drawn, deliver),) if drawn else ()
    return Section(
        "reliability",
        "Reliability of the uncertainty",
        (
            Text(note, "note"),
            Figures(figures),
            folded_table(Table("reliability-table", "Predicted and observed error by bin", headings, rows)),
        ),
    )
