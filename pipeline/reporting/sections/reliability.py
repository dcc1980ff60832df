"""Reliability of the uncertainty: how well predicted errors agree with observed ones."""

from __future__ import annotations

from pipeline.reporting.cells import method_cell
from pipeline.reporting.figures.reliability import pooled_bins, reliability_figure
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell, Figures, Section, Table, Text, folded_table
from pipeline.reporting.tables import distinct, records, where
from pipeline.reporting.titles import in_order
from pipeline.tables.reliability import RELIABILITY


def for_index(run: RunRecord) -> Section | None:
    """Compare predicted and observed errors over all test volumes."""
    bins = pooled_bins(run.tested(RELIABILITY))
    if bins.empty:
        return None
    methods = in_order(distinct(bins, "method"), run.deliver)[::-1]
    rows = tuple(
        (
            method_cell(method, run.deliver),
            *(Cell.of(row[name]) for name in ("bin", "predicted", "observed")),
            Cell.of(row["voxels"], 0),
        )
        for method in methods
        for row in records(where(bins, method=method))
    )
    headings = ("Method", "Bin", "Predicted", "Observed", "Voxels")
    return Section(
        "reliability",
        "Reliability of the uncertainty",
        (
            Text(
                "Voxels are binned by their predicted absolute error; the mean observed error of every bin is plotted "
                "against it. On the dashed line the two agree; above it, errors are larger than predicted.",
                "note",
            ),
            Figures((reliability_figure(bins, methods, run.deliver),)),
            folded_table(Table("reliability-table", "Predicted and observed error by bin", headings, rows)),
        ),
    )
