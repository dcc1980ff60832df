"""Drawings of inserted structures and of predicted errors, from the tables inserted.csv and reliability.csv."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.reporting.figures.lines import Line, draw_lines

PERCENT = 100.0


def detection_rates(table: pd.DataFrame) -> pd.DataFrame:
    """Return shares of the inserted structures that were detected, and of their places without them that were alarms.

    Args:
        table: rows of inserted.csv; those of several volumes are added up.

    Returns:
        One row a method, kind, size_voxels and contrast, with the columns inserted, detected and false_alarms, of which
        the last two are shares from 0 to 1.
    """
    keys = ["method", "kind", "size_voxels", "contrast"]
    sums: Any = table.groupby(keys, sort=True)[["inserted", "detected", "false_alarms"]].sum()
    return sums.assign(**{name: sums[name] / sums["inserted"] for name in ("detected", "false_alarms")}).reset_index()


def draw_detection(table: pd.DataFrame, kind: str, contrast: float, methods: Mapping[str, tuple[str, str]]) -> str:
    """Draw how many structures of a kind and contrast are detected, against their size; return a data URI.

    Args:
        table: rows of inserted.csv.
        kind: of the structures.
        contrast: of the structures, one of the table's.
        methods: label and style (a key of `figures.lines.STYLES`) of the methods that are drawn, by name;
            those without rows are left out.
    """
    rates: Any = detection_rates(table)
    rates = rates[(rates["kind"] == kind) & np.isclose(rates["contrast"], contrast)]
    lines: list[Line] = []
    for method, (label, style) in methods.items():
        rows: Any = rates[rates["method"] == method]
        if len(rows):
            sizes, detected = (rows[name].to_numpy(float) for name in ("size_voxels", "detected"))
            lines.append(Line(label, sizes, PERCENT * detected, style))
    title = f"{kind}, contrast {contrast:+.0%}"
    return draw_lines(title, "size, high-resolution voxels", "detected, %", lines)


def draw_reliability(table: pd.DataFrame, title: str) -> str:
    """Draw true against predicted errors, and the line on which both agree; return a data URI.

    Args:
        table: rows of reliability.csv of one volume and method.
        title: of the drawing.
    """
    rows = table.sort_values("bin")
    predicted, observed = (PERCENT * rows[name].to_numpy(float) for name in ("predicted", "observed"))
    ends = np.array([0.0, float(max(predicted.max(initial=0), observed.max(initial=0)))])
    lines = [Line("measured", predicted, observed, "delivered"), Line("perfect", ends, ends, "dashed")]
    return draw_lines(title, "predicted error, % of the range", "mean absolute error, % of the range", lines)
