"""The test volumes one by one: every metric of the deliverable, the smallest gain first."""

from __future__ import annotations

from math import nan
from typing import Any

import pandas as pd

from pipeline.reporting.cells import split_cell, text_cell
from pipeline.reporting.frames import records, where
from pipeline.reporting.metric_table import Column
from pipeline.reporting.run_record import RunRecord, tested
from pipeline.reporting.section import Cell, Section, Table, Text
from pipeline.reporting.sections.gates import failed_gates
from pipeline.reporting.titles import method_title
from pipeline.tables.gates import GATES

FIRST_METRIC = 3
"""Column of the first metric, by which the rows are sorted."""


def for_index(run: RunRecord) -> Section | None:
    """List the test volumes with every metric over the foreground."""
    if tested(run.volumes).empty:
        return None
    note = Text(
        "Below each value: difference from the best baseline of this metric, in red where the deliverable is worse. "
        "Click a heading to sort by it; metrics are sorted by that difference, and a second click reverses the order. "
        "Each name links to the page of the volume.",
        "note",
    )
    title = "Volume by volume, the worst first"
    return Section("volumes", title, (note, volume_table(run)), link="Volumes")


def volume_table(run: RunRecord) -> Table:
    """Return the table of the test volumes, the smallest gain first."""
    gain = {column: gains(run, column) for column in run.main_columns}
    gates = run.table(GATES)
    failed = failed_gates(gates, run.deliver)
    gated = set(where(gates, method=run.deliver)["volume"].tolist())
    rows = [
        (
            Cell(row["volume"], link=f"{row['volume']}.html"),
            split_cell(row["split"]),
            text_cell(row["subject"]),
            *(_metric_cell(gain[column], row["volume"], column) for column in run.main_columns),
            *([_gates_cell(failed.get(row["volume"], []), row["volume"] in gated)] if gated else []),
        )
        for row in records(tested(run.volumes).drop_duplicates("volume"))
    ]
    rows.sort(key=lambda row: (row[FIRST_METRIC].key == "", row[FIRST_METRIC].number or 0.0))
    metrics = [column.heading for column in run.main_columns]
    headings = ("Volume", "Split", "Subject", *metrics, *(["Failed gates"] if gated else []))
    caption = f"{method_title(run.deliver)} on every test volume, the smallest gain first"
    return Table("volumes-table", caption, headings, tuple(rows), sorted_by=FIRST_METRIC)


def gains(run: RunRecord, column: Column) -> pd.DataFrame:
    """Return the value of the deliverable on every test volume, and its gain over the baseline.

    Returns:
        Index volume; columns value and gain (positive is better), NaN where a method was not evaluated.
    """
    here = tested(where(run.volumes, region=column.region, metric=column.metric))
    values = here.pivot_table(index="volume", columns="method", values="value", aggfunc="first", sort=False)
    values = values.reindex(columns=list(dict.fromkeys([run.deliver, column.baseline])))
    difference = values[run.deliver] - values[column.baseline]
    return pd.DataFrame({"value": values[run.deliver], "gain": difference if column.higher_is_better else -difference})


def _metric_cell(gain: pd.DataFrame, volume: str, column: Column) -> Cell:
    """Return the value with the difference below it; the sorting key is the gain."""
    if volume not in gain.index:
        return Cell.of(nan)
    row: Any = gain.loc[volume]
    better = float(row["gain"])
    return Cell(
        column.format(float(row["value"])),
        better,
        aside="" if pd.isna(better) else column.format(column.gain(better), sign=True),
        aside_style="worse" if better < 0 else "",
    )


def _gates_cell(failed: list[str], is_tested: bool) -> Cell:
    if not is_tested:
        return Cell("not tested", nan)
    return Cell(", ".join(failed) or "none", float(len(failed)), style="failed" if failed else "")
