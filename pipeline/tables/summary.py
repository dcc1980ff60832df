"""metrics/summary.csv: every method in every split, with intervals, against the best baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import CiHigh, CiLow, Difference, Method, Metric, Region, Split
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class SummaryRow:
    """A method in one split, region and metric."""

    split: Split
    method: Method
    region: Region
    metric: Metric
    n: Annotated[int, Column("number of volumes")]
    mean: Annotated[float, Column("mean over the volumes, in the unit of the metric")]
    ci_low: CiLow
    ci_high: CiHigh
    baseline: Annotated[str, Column("the best baseline on the validation volumes")]
    diff: Difference
    diff_ci_low: CiLow
    diff_ci_high: CiHigh
    p: Annotated[float, Column("p value of Wilcoxon's signed-rank test over subjects; empty below six subjects")]


SUMMARY = Table("means and differences from the best baseline", SummaryRow)
