"""Conclusions in words: which method is better, and to which population this generalises."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import pandas as pd

from pipeline import plugins
from pipeline.statistics.summary import MIN_SUBJECTS

TEST_SPLITS = ("test", "test_within_subject")
MAIN_REGIONS = {"unseen": "the unseen slices", "foreground": "the foreground"}
"""Regions on which conclusions are based, by preference, in words; without them, the first one."""
BETTER, WORSE, NO_DIFFERENCE = "is better than", "is worse than", "is not distinguishable from"


def findings(
    summary: pd.DataFrame, *, confidence: float = 0.95, title: Callable[[str], str] = str
) -> dict[str, list[str]]:
    """Compare networks with the best baseline, over the first region of `MAIN_REGIONS` that was evaluated.

    Args:
        summary: table with the columns of summary.csv.
        confidence: coverage of the intervals.
        title: function that returns the title of a method.

    Returns:
        Sentences by test split, one per network and metric.
    """
    regions = list(summary["region"].unique())
    region = next((name for name in (*MAIN_REGIONS, *regions) if name in regions), "")
    baselines = plugins.names("pipeline.baselines")
    found: dict[str, list[str]] = {}
    for split in TEST_SPLITS:
        rows: Any = summary[(summary["split"] == split) & (summary["region"] == region)]
        if not rows.empty:
            networks = rows[~rows["method"].isin(baselines)].sort_values("method", kind="stable")
            found[split] = [_finding(row, region, confidence, title) for _, row in networks.iterrows()]
    return found


def _finding(row: Any, region: str, confidence: float, title: Callable[[str], str]) -> str:
    metric = plugins.load("pipeline.metrics", row["metric"])
    unit = f" {metric.UNIT}" if metric.UNIT else ""
    place = MAIN_REGIONS.get(region, f"the region {region}")
    volumes = "1 volume" if row["n"] == 1 else f"{row['n']} volumes"
    p_value = "" if math.isnan(row["p"]) else f", p = {row['p']:.2g} by the signed-rank test over subjects"
    interval = "one value, hence no interval"
    if not math.isnan(row["diff_ci_low"]):
        low, high = (f"{row[name]:+.{metric.DECIMALS}f}" for name in ("diff_ci_low", "diff_ci_high"))
        interval = f"{100 * confidence:.0f} % confidence interval {low} to {high}"
    return (
        f"{title(row['method'])} {_by_interval(row, metric.HIGHER_IS_BETTER)} {title(row['baseline'])}, the best "
        f"baseline on validation, by {metric.TITLE} over {place}: {row['diff']:+.{metric.DECIMALS}f}{unit} "
        f"({interval}, {volumes}{p_value})."
    )


def _by_interval(row: Any, higher_is_better: bool) -> str:
    ends = [row["diff_ci_low"], row["diff_ci_high"]]
    low, high = sorted(ends if higher_is_better else [-end for end in ends])
    return BETTER if low > 0 else WORSE if high < 0 else NO_DIFFERENCE


def scope(split: str, volumes: pd.DataFrame, stacks: Collection[str] = ()) -> str:
    """Return a sentence on the population to which the intervals of a split apply.

    Args:
        split: a test split.
        volumes: table with the columns of volumes.csv.
        stacks: volumes that are stacks of pictures of unknown subjects.
    """
    here: Any = volumes[volumes["split"] == split]
    if not set(here["volume"]).isdisjoint(stacks):
        return (
            f"Split {split} has pictures of unknown subjects: the intervals account for the choice of pictures. "
            "Subjects that were used for training may be among them, so the results do not extend to unseen subjects."
        )
    count = here["subject"].nunique()
    subjects = "1 subject" if count == 1 else f"{count} subjects"
    if count >= MIN_SUBJECTS:
        return f"Split {split} has {subjects}: the intervals account for the choice of subjects and of slices."
    covered = "only the slices of this subject" if count == 1 else f"only these {count} subjects and their slices"
    return (
        f"Split {split} has {subjects}: the intervals cover {covered}. No conclusion about subjects in general is "
        "possible."
    )


def against_all(
    comparisons: pd.DataFrame,
    *,
    split: str,
    region: str = "foreground",
    confidence: float = 0.95,
    title: Callable[[str], str] = str,
) -> list[str]:
    """Return sentences on which methods every network is better than, and on the basis of this conclusion.

    With six or more subjects, the conclusion is based on the corrected signed-rank test over subjects. With fewer, no
    test can be significant, and it is based on the intervals over slices.

    Args:
        comparisons: table with the columns of comparisons.csv.
        split: split of the volumes.
        region: region of the metrics.
        confidence: coverage of the intervals; the significance level is 1 - confidence.
        title: function that returns the title of a method.

    Returns:
        One sentence per network and metric, and one on their basis; empty if the table has no rows for the split.
    """
    rows: Any = comparisons[(comparisons["split"] == split) & (comparisons["region"] == region)]
    if rows.empty:
        return []
    groups = rows.groupby(["method", "metric"], sort=False)
    sentences = [_ranking(method, metric, part, confidence, title) for (method, metric), part in groups]
    return [*sentences, _basis(int(rows["subjects"].min()), confidence)]


def _ranking(method: str, metric: str, rows: Any, confidence: float, title: Callable[[str], str]) -> str:
    """Return a sentence that lists the baselines of a network, grouped by the result."""
    module = plugins.load("pipeline.metrics", metric)
    groups: dict[str, list[str]] = {BETTER: [], WORSE: [], NO_DIFFERENCE: []}
    for _, row in rows.sort_values("baseline").iterrows():
        groups[_by_test(row, module.HIGHER_IS_BETTER, confidence)].append(title(row["baseline"]))
    parts = [f"{result} {', '.join(names)}" for result, names in groups.items() if names]
    return f"By {module.TITLE}, {title(method)} {'; it '.join(parts)}."


def _by_test(row: Any, higher_is_better: bool, confidence: float) -> str:
    if row["subjects"] < MIN_SUBJECTS:
        return _by_interval(row, higher_is_better)
    if math.isnan(row["p_holm"]) or row["p_holm"] >= 1 - confidence:
        return NO_DIFFERENCE
    return BETTER if (row["effect"] > 0) == higher_is_better else WORSE


def _basis(subjects: int, confidence: float) -> str:
    if subjects >= MIN_SUBJECTS:
        return (
            f"Based on the signed-rank test over {subjects} subjects, corrected for the number of baselines by Holm's "
            f"method, at the level {1 - confidence:.2g}. Methods that are not distinguishable may "
            "still differ."
        )
    counted = "1 subject" if subjects == 1 else f"{subjects} subjects"
    return (
        f"With {counted}, no test over subjects can reach p < 0.05 (six are needed): the statements are based on "
        "intervals that are not corrected for the number of baselines. No conclusion about subjects in general is "
        "possible."
    )
