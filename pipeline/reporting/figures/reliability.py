"""Reliability diagrams: observed against predicted error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.reporting.figures.lines import Line, draw_lines, lines_of_methods
from pipeline.reporting.numbers import format_number
from pipeline.reporting.section import Figure


def pooled_bins(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean errors over volumes, by method and bin, in which every voxel counts once.

    Args:
        table: rows of reliability.csv.

    Returns:
        Columns method, bin, predicted, observed and voxels; bins without voxels are left out.
    """
    table = table.loc[table["voxels"] > 0]
    weight = table["voxels"].to_numpy(float)
    products = table.assign(**{name: weight * table[name].to_numpy(float) for name in ("predicted", "observed")})
    sums: Any = products.groupby(["method", "bin"], sort=True, as_index=False)
    sums = sums[["predicted", "observed", "voxels"]].sum()
    return sums.assign(**{name: sums[name] / sums["voxels"] for name in ("predicted", "observed")})


def reliability_figure(bins: pd.DataFrame, methods: Sequence[str], deliver: str) -> Figure:
    """Draw the observed against the predicted error, with the line on which both agree.

    Args:
        bins: from `pooled_bins`.
        methods: what is drawn, in this order.
        deliver: method of the deliverable.
    """
    lines = lines_of_methods(bins, "predicted", "observed", methods, deliver)
    top = max((float(np.max([line.x.max(), line.y.max()])) for line in lines), default=1.0)
    ends = np.array([0.0, top])
    title = "Predicted and observed error"
    image = draw_lines(
        title,
        "predicted (normalised)",
        "observed (normalised)",
        [Line("agreement", ends, ends, "dashed"), *lines],
        markers=True,
        whole_numbers=False,
    )
    errors = "; ".join(f"{line.label}: predicted {_range(line.x)}, observed {_range(line.y)}" for line in lines)
    return Figure(image, f"{title}. {errors}")


def _range(values: np.ndarray) -> str:
    return f"{format_number(values[0])} to {format_number(values[-1])}"
