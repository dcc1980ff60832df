"""The deliverable of one volume against every other method, measure by measure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config.sections import Evaluate
from pipeline.reporting.metric_table import Column
from pipeline.reporting.numbers import format_interval
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell
from pipeline.reporting.tables import distinct, where
from pipeline.reporting.titles import in_order, method_title
from pipeline.statistics.summary import estimate


@dataclass(frozen=True)
class Opponent:
    """A method, and by how much the deliverable is better or worse in every column."""

    method: str
    title: str
    cells: tuple[Cell, ...]


def against_every(run: RunRecord, volume: str, columns: Sequence[Column], deliver: str) -> list[Opponent]:
    """Compare the deliverable with every method on the same slices, paired.

    Args:
        run: tables and records of the run.
        volume: its id.
        columns: measures and regions; those that were not taken slice by slice have no difference.
        deliver: method of the deliverable.
    """
    here = where(run.slices, volume=volume)
    others = [method for method in in_order(distinct(here, "method"), deliver) if method != deliver]
    return [
        Opponent(
            method,
            method_title(method),
            tuple(_difference(run, volume, column, method, deliver) for column in columns),
        )
        for method in others
    ]


def _difference(run: RunRecord, volume: str, column: Column, method: str, deliver: str) -> Cell:
    table = where(run.slices, volume=volume, region=column.region, metric=column.metric)
    values = [where(table, method=name).sort_values("slice")["value"].to_numpy(float) for name in (deliver, method)]
    if values[0].size == 0 or values[0].shape != values[1].shape:
        return Cell("n/a")
    settings = Evaluate.model_validate_json(json.dumps(run.provenance["config"]["evaluate"]))
    with np.errstate(invalid="ignore"):
        differences = {volume: values[0] - values[1]}
    stacks = run.stacks
    diff, low, high = estimate(differences, {volume: volume}, settings, int(run.provenance["seed"]), stacks)
    return Cell(
        column.format(diff, sign=True),
        style=column.verdict(low, high),
        interval=format_interval(low, high, column.decimals),
    )
