"""The detail ledger: how much fine detail is right, missing or invented."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.reporting.cells import method_cell, split_cell
from pipeline.reporting.figures.bars import BarGroup, draw_bar_groups
from pipeline.reporting.frames import distinct, records, where
from pipeline.reporting.metric_table import Column
from pipeline.reporting.numbers import format_interval, format_number
from pipeline.reporting.run_record import RunRecord, tested
from pipeline.reporting.section import Cell, Figure, Figures, Section, Table, Text
from pipeline.reporting.titles import in_order, method_title

LEDGER: Mapping[str, str] = {
    "detail_right": "right",
    "detail_missing": "missing",
    "detail_invented": "invented",
}


def for_index(run: RunRecord) -> Section | None:
    """Show the shares of right, missing and invented detail for each method and test split."""
    table = tested(run.summary)
    table = table[table["metric"].isin(LEDGER)]
    if table.empty:
        return None
    region = "foreground" if "foreground" in distinct(table, "region") else distinct(table, "region")[0]
    table = where(table, region=region)
    metrics = [name for name in LEDGER if name in distinct(table, "metric")]
    columns = {column.metric: column for column in run.columns if column.region == region}
    figures, rows = [], []
    for split in distinct(table, "split"):
        scores: dict[str, dict[str, Any]] = {}
        for row in records(where(table, split=split)):
            scores.setdefault(row["method"], {})[row["metric"]] = row
        methods = [name for name in in_order(scores, run.deliver) if set(metrics) <= set(scores[name])]
        groups = [
            BarGroup(method_title(name), tuple(float(scores[name][metric]["mean"]) for metric in metrics))
            for name in methods
        ]
        figures.append(_figure(f"{run.split_title(split)}: detail", columns[metrics[0]].unit, metrics, groups))
        rows += [
            (
                method_cell(name, run.deliver),
                split_cell(split),
                *(_mean(scores[name][metric], columns[metric]) for metric in metrics),
            )
            for name in methods
        ]
    headings = ("Method", "Split", *(f"Detail {LEDGER[metric]}" for metric in metrics))
    return Section(
        "ledger",
        "Detail ledger",
        (
            Text(
                "Detail finer than the low-resolution voxels: how much of it is right, how much is missing, and how "
                "much was invented. A method is useful for the detail it gets right; the detail it invents cannot be "
                "trusted.",
                "note",
            ),
            Figures(tuple(figures)),
            Table("ledger-table", "Means over volumes with their confidence intervals", headings, tuple(rows)),
        ),
    )


def _figure(title: str, unit: str, metrics: list[str], groups: list[BarGroup]) -> Figure:
    parts = [LEDGER[metric] for metric in metrics]
    shares = []
    for group in groups:
        named = zip(parts, group.shares, strict=True)
        shares.append(f"{group.label}: {', '.join(f'{part} {format_number(share)}' for part, share in named)}")
    return Figure(draw_bar_groups(title, unit or "share of the detail", parts, groups), f"{title}. {'; '.join(shares)}")


def _mean(row: Mapping[str, Any], column: Column) -> Cell:
    interval = format_interval(row["ci_low"], row["ci_high"], column.decimals, sign=False)
    return Cell.of(row["mean"], column.decimals, interval=interval)
