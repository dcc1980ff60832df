"""Conclusions that the statistics support, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pandas as pd

from pipeline import plugins
from pipeline.statistics.summary import MIN_SUBJECTS

SPLIT_TITLES = {
    "test": "Heads not in the training data",
    "test_within_subject": "A held-out block of a subject in the training data (within subject)",
}

PICTURES_TITLE = "Pictures not in the training data"


def findings(
    summary: pd.DataFrame,
    volumes: pd.DataFrame,
    *,
    confidence: float = 0.95,
    title: Callable[[str], str] = str,
    stacks: Collection[str] = (),
) -> dict[str, list[str]]:
    """Compare the networks with the best baseline, in sentences.

    Args:
        summary: the summary table, with the columns of summary.csv.
        volumes: the table of volumes.
        confidence: coverage of the summary's intervals.
        title: returns the display name of a method.
        stacks: volumes that are stacks of pictures of unknown subjects.

    Returns:
        For every test split, one sentence per network and metric, over the foreground (or, without it, the
        first region).
    """
    regions = list(summary["region"].unique())
    region = "foreground" if "foreground" in regions else next(iter(regions), "")
    found: dict[str, list[str]] = {}
    for split, heading in SPLIT_TITLES.items():
        rows: Any = summary[(summary["split"] == split) & (summary["region"] == region)]
        if not rows.empty:
            named = PICTURES_TITLE if _holds_pictures(split, volumes, stacks) else heading
            found[split] = [f"{named}: {text}" for text in _comparisons(rows, region, confidence, title)]
    return found


def scope(split: str, volumes: pd.DataFrame, stacks: Collection[str] = ()) -> str:
    """Return a sentence on the scope of the findings on a split; arguments as in `findings`."""
    if _holds_pictures(split, volumes, stacks):
        return (
            f"Split {split} contains pictures of unknown subjects; the intervals cover the choice of pictures. Heads "
            "of the training data may be among them: no conclusion about other heads is possible."
        )
    count = volumes.loc[volumes["split"] == split, "subject"].nunique()
    if count >= MIN_SUBJECTS:
        return f"Split {split} contains {count} subjects; the intervals cover the choice of subjects and of slices."
    if count == 1:
        covered = "1 subject: the interval covers only the slices of this subject"
    else:
        covered = f"{count} subjects: the interval covers only these subjects and their slices"
    return f"Split {split} contains {covered}. This is too few for conclusions about subjects in general."


def _holds_pictures(split: str, volumes: pd.DataFrame, stacks: Collection[str]) -> bool:
    return not set(volumes.loc[volumes["split"] == split, "volume"]).isdisjoint(stacks)


def _comparisons(rows: Any, region: str, confidence: float, title: Callable[[str], str]) -> Iterator[str]:
    networks = rows[~rows["method"].isin(plugins.names("pipeline.baselines"))]
    for _, row in networks.sort_values("method", kind="stable").iterrows():
        yield _comparison(row, region, confidence, title)


def _comparison(row: Any, region: str, confidence: float, title: Callable[[str], str]) -> str:
    metric = plugins.load("pipeline.metrics", row["metric"])
    unit = f" {metric.UNIT}" if metric.UNIT else ""
    place = "the foreground" if region == "foreground" else f"the region {region}"
    volumes = "1 volume" if row["n"] == 1 else f"{row['n']} volumes"
    chance = "" if math.isnan(row["p"]) else f", p = {row['p']:.2g} by the signed-rank test over subjects"
    return (
        f"{title(row['method'])} {_verdict(row, metric.HIGHER_IS_BETTER)} {title(row['baseline'])}, the best baseline "
        f"on validation, by {metric.TITLE} over {place}: {row['diff']:+.{metric.DECIMALS}f}{unit} "
        f"({_interval(row, metric.DECIMALS, confidence)}, {volumes}{chance})."
    )


def _interval(row: Any, decimals: int, confidence: float) -> str:
    low, high = row["diff_ci_low"], row["diff_ci_high"]
    if math.isnan(low):
        return "a single value, no interval"
    return f"{confidence:.0%} interval {low:+.{decimals}f} to {high:+.{decimals}f}"


def _verdict(row: Any, higher_is_better: bool) -> str:
    low, high = sorted(
        (row["diff_ci_low"], row["diff_ci_high"]) if higher_is_better else (-row["diff_ci_low"], -row["diff_ci_high"])
    )
    if low > 0:
        return "is better than"
    return "is worse than" if high < 0 else "is not distinguishable from"


def against_all(
    comparisons: pd.DataFrame,
    *,
    split: str,
    region: str = "foreground",
    confidence: float = 0.95,
    title: Callable[[str], str] = str,
) -> list[str]:
    """Compare the networks with all baselines, in sentences.

    From six subjects on, the corrected signed-rank test over subjects decides. With fewer subjects it has no power, and
    the intervals over slices are reported with their limits.

    Args:
        comparisons: the table with the columns of comparisons.csv.
        split: the split of the volumes.
        region: the region of the metrics.
        confidence: coverage of the intervals; the level of the test is 1 - confidence.
        title: returns the display name of a method.

    Returns:
        One sentence per network and metric, and one on their scope; none where the table has no rows of the split.
    """
    rows: Any = comparisons[(comparisons["split"] == split) & (comparisons["region"] == region)]
    if rows.empty:
        return []
    sentences = [
        _against_baselines(str(method), str(metric), part, confidence, title)
        for (method, metric), part in rows.groupby(["method", "metric"], sort=False)
    ]
    return [*sentences, _scope_of_tests(int(rows["subjects"].min()), confidence)]


def _against_baselines(method: str, metric: str, rows: Any, confidence: float, title: Callable[[str], str]) -> str:
    """Group the baselines of one network and metric by the verdict against them."""
    module = plugins.load("pipeline.metrics", metric)
    verdicts: dict[str, list[str]] = {}
    for _, row in rows.sort_values("baseline").iterrows():
        verdict = _tested(row, module.HIGHER_IS_BETTER, confidence)
        verdicts.setdefault(verdict, []).append(title(row["baseline"]))
    parts = [f"{one} {', '.join(verdicts[one])}" for one in VERDICTS if one in verdicts]
    return f"By {module.TITLE}, {title(method)} {'; it '.join(parts)}."


VERDICTS = ("is better than", "is worse than", "is not distinguishable from")


def _tested(row: Any, higher_is_better: bool, confidence: float) -> str:
    if row["subjects"] < MIN_SUBJECTS:
        return _verdict(row, higher_is_better)
    if math.isnan(row["p_holm"]) or row["p_holm"] >= 1 - confidence:
        return VERDICTS[2]
    return VERDICTS[0] if (row["effect"] > 0) == higher_is_better else VERDICTS[1]


def _scope_of_tests(subjects: int, confidence: float) -> str:
    if subjects >= MIN_SUBJECTS:
        return (
            f"Based on the signed-rank test over {subjects} subjects, corrected for the number of baselines by "
            f"Holm's method, at the level {1 - confidence:.2g}. Methods that are not distinguishable may still differ."
        )
    counted = "1 subject" if subjects == 1 else f"{subjects} subjects"
    return (
        f"With {counted}, no test over subjects can reach p < 0.05 (six are needed): these findings rest "
        "on intervals alone, which are not corrected for the number of baselines; they allow no conclusion about "
        "subjects in general."
    )
