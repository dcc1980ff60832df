"""Comparisons of every network with every other method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.reporting.cells import difference_cell, method_cell, split_cell
from pipeline.reporting.frames import distinct, records, where
from pipeline.reporting.metric_table import Column
from pipeline.reporting.run_record import RunRecord, by_metric
from pipeline.reporting.section import Block, Cell, Items, Section, Table, Text, folded_table
from pipeline.reporting.titles import TESTED, in_order, method_title
from pipeline.statistics.conclusion import against_all
from pipeline.tables.comparisons import COMPARISONS


def for_index(run: RunRecord) -> Section | None:
    """Compare networks and other methods over the foreground of the test splits."""
    columns = {column.metric: column for column in run.main_columns}
    table: Any = where(run.tested(COMPARISONS), region=run.main_columns[0].region)
    table = table[table["metric"].isin(columns)]
    if table.empty:
        return None
    blocks: list[Block] = [
        Text(
            "Paired differences, network minus other method, with their confidence intervals. The effect size is the "
            "matched-pairs rank-biserial correlation over subjects: +1 where all differences are positive, -1 where "
            "all are negative. p is of the Wilcoxon signed-rank test over subjects, given only where there are enough "
            "of them; p (Holm) is corrected for the number of methods compared.",
            "note",
        )
    ]
    sentences = statements(table, [column for column in run.main_columns if not column.single_property], run)
    if sentences:
        blocks.append(Items(sentences))
    for method in in_order(distinct(table, "method"), run.deliver)[::-1]:
        compared = _table(method, where(table, method=method), columns, run.deliver)
        blocks.append(compared if method == run.deliver else folded_table(compared))
    return Section("comparisons", "Comparison with every other method", tuple(blocks), link="Comparisons")


def statements(table: pd.DataFrame, columns: Sequence[Column], run: RunRecord) -> tuple[str, ...]:
    """List the methods that the deliverable is better than, for each split.

    Args:
        table: comparisons over one region, of test splits.
        columns: metrics of the statements.
        run: titles of its splits, and the coverage of its intervals.
    """
    own: Any = where(table, method=run.deliver)
    metrics = [column.metric for column in columns]
    own = by_metric(own[own["metric"].isin(metrics)], metrics)
    region = columns[0].region if columns else ""
    return tuple(
        f"{run.split_title(split)}: {sentence}"
        for split in distinct(own, "split")
        for sentence in against_all(own, split=split, region=region, confidence=run.confidence, title=method_title)
    )


def _table(method: str, table: pd.DataFrame, columns: Mapping[str, Column], deliver: str) -> Table:
    order = list(columns)
    rows = []
    for row in sorted(records(table), key=lambda row: (TESTED.index(row["split"]), order.index(row["metric"]))):
        column = columns[row["metric"]]
        low, high = row["diff_ci_low"], row["diff_ci_high"]
        rows.append(
            (
                method_cell(row["baseline"], deliver),
                split_cell(row["split"]),
                Cell(column.heading),
                difference_cell(row["diff"], low, high, column.decimals, better=column.verdict(low, high)),
                Cell.of(row["effect"], 2, sign=True),
                Cell.of(row["p"]),
                Cell.of(row["p_holm"]),
                Cell.of(row["subjects"], 0),
            )
        )
    headings = ("Compared with", "Split", "Metric", "Difference", "Effect size", "p", "p (Holm)", "Subjects")
    return Table(f"comparisons-{method}", f"{method_title(method)} minus each other method", headings, tuple(rows))
