"""What the numbers allow one to say, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pandas as pd

from pipeline import plugins
from pipeline.statistics.summary import FEWEST_SUBJECTS

SPLIT_TITLES = {
    "test": "Heads that training never saw",
    "test_within_subject": "A block kept apart from a subject that training saw (within subject)",
}

PICTURES_TITLE = "Pictures that training never saw"


def conclusion(
    summary: pd.DataFrame,
    volumes: pd.DataFrame,
    *,
    confidence: float = 0.95,
    title: Callable[[str], str] = str,
    stacks: Collection[str] = (),
) -> list[str]:
    """Says how the networks fare against the best baseline, and what that can prove.

    Args:
        summary: the summary table, with the columns of summary.csv.
        volumes: the table of volumes.
        confidence: coverage of the summary's intervals.
        title: gives a method's name as a reader knows it.
        stacks: volumes that are stacks of pictures, of which nobody knows whose heads they show.

    Returns:
        Sentences, for every test split one a network and metric over the foreground (or, without it, over the first
        region), and one on how far they reach.
    """
    found = findings(summary, volumes, confidence=confidence, title=title, stacks=stacks)
    return [sentence for split, sentences in found.items() for sentence in (*sentences, reach(split, volumes, stacks))]


def findings(
    summary: pd.DataFrame,
    volumes: pd.DataFrame,
    *,
    confidence: float = 0.95,
    title: Callable[[str], str] = str,
    stacks: Collection[str] = (),
) -> dict[str, list[str]]:
    """Return for every test split the sentences on its networks; arguments as in `conclusion`."""
    regions = list(summary["region"].unique())
    region = "foreground" if "foreground" in regions else next(iter(regions), "")
    found: dict[str, list[str]] = {}
    for split, heading in SPLIT_TITLES.items():
        rows: Any = summary[(summary["split"] == split) & (summary["region"] == region)]
        if not rows.empty:
            named = PICTURES_TITLE if _holds_pictures(split, volumes, stacks) else heading
            found[split] = [f"{named}: {text}" for text in _comparisons(rows, region, confidence, title)]
    return found


def reach(split: str, volumes: pd.DataFrame, stacks: Collection[str] = ()) -> str:
    """Says how far the findings on a split reach, and what cannot be concluded; arguments as in `conclusion`."""
    return _pictures_reach(split) if _holds_pictures(split, volumes, stacks) else _reach(split, volumes)


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
        f"method on validation, by {metric.TITLE} over {place}: {row['diff']:+.{metric.DECIMALS}f}{unit} "
        f"({_interval(row, metric.DECIMALS, confidence)}, {volumes}{chance})."
    )


def _interval(row: Any, decimals: int, confidence: float) -> str:
    low, high = row["diff_ci_low"], row["diff_ci_high"]
    if math.isnan(low):
        return "one value, hence no interval"
    return f"{confidence:.0%} interval {low:+.{decimals}f} to {high:+.{decimals}f}"


def _verdict(row: Any, higher_is_better: bool) -> str:
    low, high = sorted(
        (row["diff_ci_low"], row["diff_ci_high"]) if higher_is_better else (-row["diff_ci_low"], -row["diff_ci_high"])
    )
    if low > 0:
        return "is better than"
    return "is worse than" if high < 0 else "cannot be told from"


def _pictures_reach(split: str) -> str:
    return (
        f"Split {split} holds pictures without the names of the subjects; the intervals cover the choice of pictures. "
        "Heads that training saw may be among them, so that nothing follows for heads that it never saw."
    )


def _reach(split: str, volumes: pd.DataFrame) -> str:
    """Says what population the intervals speak of."""
    count = volumes.loc[volumes["split"] == split, "subject"].nunique()
    if count >= FEWEST_SUBJECTS:
        return f"Split {split} holds {count} subjects; the intervals cover the choice of subjects and of slices."
    if count == 1:
        covered = "the interval covers only the slices of this subject"
    else:
        covered = f"the interval covers only these {count} subjects and their slices"
    subjects = "1 subject" if count == 1 else f"{count} subjects"
    return f"Split {split} holds {subjects}: {covered}. So few allow no conclusion about subjects in general."


def against_all(
    comparisons: pd.DataFrame,
    *,
    split: str,
    region: str = "foreground",
    confidence: float = 0.95,
    title: Callable[[str], str] = str,
) -> list[str]:
    """Says against which of all baselines the networks hold, and what that cannot prove.

    From six subjects on, the corrected signed-rank test over subjects decides. Below, it can decide nothing, and the
    intervals over slices are told with their limits.

    Args:
        comparisons: the table with the columns of comparisons.csv.
        split: which volumes are spoken of.
        region: where the metrics were taken.
        confidence: coverage of the intervals; the test's level is what it leaves.
        title: gives a method's name as a reader knows it.

    Returns:
        One sentence a network and metric, and one on their reach; none where the table holds nothing of the split.
    """
    rows: Any = comparisons[(comparisons["split"] == split) & (comparisons["region"] == region)]
    if rows.empty:
        return []
    sentences = [
        _standing(str(method), str(metric), part, confidence, title)
        for (method, metric), part in rows.groupby(["method", "metric"], sort=False)
    ]
    return [*sentences, _reach_of_tests(int(rows["subjects"].min()), confidence)]


def _standing(method: str, metric: str, rows: Any, confidence: float, title: Callable[[str], str]) -> str:
    """Sort the baselines of one network and metric by what can be said of them."""
    module = plugins.load("pipeline.metrics", metric)
    verdicts: dict[str, list[str]] = {}
    for _, row in rows.sort_values("baseline").iterrows():
        said = _tested(row, module.HIGHER_IS_BETTER, confidence)
        verdicts.setdefault(said, []).append(title(row["baseline"]))
    parts = [f"{said} {', '.join(verdicts[said])}" for said in VERDICTS if said in verdicts]
    return f"By {module.TITLE}, {title(method)} {'; it '.join(parts)}."


VERDICTS = ("is better than", "is worse than", "cannot be told from")


def _tested(row: Any, higher_is_better: bool, confidence: float) -> str:
    if row["subjects"] < FEWEST_SUBJECTS:
        return _verdict(row, higher_is_better)
    if math.isnan(row["p_holm"]) or row["p_holm"] >= 1 - confidence:
        return VERDICTS[2]
    return VERDICTS[0] if (row["effect"] > 0) == higher_is_better else VERDICTS[1]


def _reach_of_tests(subjects: int, confidence: float) -> str:
    if subjects >= FEWEST_SUBJECTS:
        return (
            f"This rests on the signed-rank test over {subjects} subjects, corrected for the number of baselines by "
            f"Holm's method, at the level {1 - confidence:.2g}. What cannot be told apart may still differ."
        )
    counted = "1 subject" if subjects == 1 else f"{subjects} subjects"
    return (
        f"With {counted}, no test over subjects can reach p < 0.05 (six are needed): this rests on intervals alone, "
        "which are not corrected for the number of baselines, and allows no conclusion about subjects in general."
    )
