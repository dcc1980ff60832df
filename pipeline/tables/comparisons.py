"""metrics/comparisons.csv: every network against every baseline and the pretrained network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Baseline, CiHigh, CiLow, Difference, Method, Metric, Region, Split
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class Comparison:
    """A network against one baseline in one split, region and metric."""

    split: Split
    method: Method
    region: Region
    metric: Metric
    baseline: Baseline
    subjects: Annotated[int, Column("number of subjects")]
    diff: Difference
    diff_ci_low: CiLow
    diff_ci_high: CiHigh
    effect: Annotated[float, Column("matched-pairs rank-biserial correlation over subjects, -1 to 1")]
    p: Annotated[float, Column("p value of Wilcoxon's signed-rank test over subjects; empty below six subjects")]
    p_holm: Annotated[float, Column("p with Holm's correction for all baselines of the network")]


COMPARISONS = Table("comparisons of networks with baselines", Comparison)
