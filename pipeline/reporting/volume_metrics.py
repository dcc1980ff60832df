"""Metrics of one volume: values, and paired differences of its slices with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.reporting.frames import distinct, records, where
from pipeline.reporting.metric_table import Column, MetricTable, heading_with_direction, metric_table
from pipeline.reporting.numbers import MISSING, format_interval, format_share
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell, Table
from pipeline.reporting.titles import in_order, method_title
from pipeline.statistics.summary import estimate
from pipeline.tables.slices import WHOLE_VOLUME


def volume_table(run: RunRecord, volume: str, deliver: str) -> MetricTable:
    """Return the metric table of a volume; errors as `volume_numbers`."""
    return metric_table(run.columns, volume_numbers(run, volume), deliver)


def volume_numbers(run: RunRecord, volume: str) -> list[dict[str, Any]]:
    """Return value and difference from the baseline with its interval, one row per method, region and metric.

    The interval refers to this volume alone. If it is the only volume of its split, it equals that of the summary.

    Raises:
        UserError: the tables contain no rows of this volume.
    """
    of_slices, of_volumes = (where(table, volume=volume) for table in (run.slices, run.volumes))
    if of_slices.empty:
        raise UserError(f"volume {volume!r} is not in the table of slices. Run the evaluation and the summary again.")
    rows: list[dict[str, Any]] = []
    for column in run.columns:
        here = where(of_slices, region=column.region, metric=column.metric)
        if column.of_volumes and volume not in run.stacks:
            here = where(of_volumes, region=column.region, metric=column.metric).assign(slice=WHOLE_VOLUME)
        values = {method: slice_values(here, method)[1] for method in distinct(here, "method")}
        for method, measured in values.items():
            numbers = _difference(run, volume, measured, values[column.baseline])
            key = {"method": method, "region": column.region, "metric": column.metric}
            rows.append({**key, "value": float(measured.mean()), **numbers})
    return rows


def pairwise_table(run: RunRecord, volume: str, columns: Sequence[Column], deliver: str) -> Table | None:
    """Return the differences of the deliverable to every other method, paired by slice; None without other methods.

    Args:
        run: tables and records of the run.
        volume: name of the volume.
        columns: metrics of one region; metrics of whole volumes have no difference.
        deliver: method of the deliverable.
    """
    here = where(run.slices, volume=volume)

    def cell(column: Column, method: str) -> Cell:
        table = where(here, region=column.region, metric=column.metric)
        values = [where(table, method=name).sort_values("slice")["value"].to_numpy(float) for name in (deliver, method)]
        if values[0].size == 0 or values[0].shape != values[1].shape:
            return Cell(MISSING)
        numbers = _difference(run, volume, *values)
        text = column.format(numbers["diff"], sign=True)
        ends = (numbers["diff_ci_low"], numbers["diff_ci_high"])
        return Cell(text, style=column.verdict(*ends), interval=format_interval(*ends, column.decimals))

    others = [method for method in in_order(distinct(here, "method"), deliver) if method != deliver]
    if not others:
        return None
    return Table(
        name="pairwise",
        caption=f"{method_title(deliver)} minus each method, {columns[0].region_title.lower()}, paired by slice, with "
        f"{format_share(run.confidence)} interval",
        headings=("Method", *map(heading_with_direction, columns)),
        rows=tuple(
            (Cell(method_title(method), code=method), *(cell(column, method) for column in columns))
            for method in others
        ),
        style="metrics",
    )


def _difference(run: RunRecord, volume: str, one: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, float]:
    """Return the mean paired difference with its interval."""
    with np.errstate(invalid="ignore"):
        differences = {volume: one - other}
    settings = run.provenance.config.evaluate
    diff, low, high = estimate(differences, {volume: volume}, settings, run.provenance.seed, run.stacks)
    return {"diff": diff, "diff_ci_low": low, "diff_ci_high": high}


def slice_values(table: pd.DataFrame, method: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the slice indices of a method's rows and their values, sorted by slice."""
    found = sorted((row["slice"], row["value"]) for row in records(where(table, method=method)))
    slices, values = zip(*found, strict=True)
    return np.array(slices, dtype=float), np.array(values, dtype=float)
