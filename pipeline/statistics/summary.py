"""The summary: every method in every split, with intervals, against the best baseline."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from pipeline import plugins
from pipeline.config.sections import Evaluate
from pipeline.errors import UserError
from pipeline.statistics.bootstrap import Floats, percentile_interval, resampled_means
from pipeline.statistics.measurements import rows_to_average, volume_table
from pipeline.tables.summary import SUMMARY

MIN_SUBJECTS = 6
"""Minimum number of pairs for which the signed-rank test can reach p < 0.05."""


def choose_baselines(volumes: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Choose the best baseline for every region and metric, on validation alone.

    A region that no validation volume has, such as a structure of a segmentation, takes the choice over the foreground.

    Args:
        volumes: table of volumes.

    Returns:
        Names of methods by (region, metric).

    Raises:
        UserError: a baseline was never measured on validation.
    """
    baselines = volumes[(volumes["split"] == "val") & volumes["method"].isin(plugins.names("pipeline.baselines"))]
    means: Any = baselines.groupby(["region", "metric", "method"])["value"].mean()
    chosen: dict[tuple[str, str], str] = {}
    measured = set(means.index.droplevel("method"))
    for region, metric in sorted({*zip(volumes["region"], volumes["metric"], strict=True)}):
        judged_by = region if (region, metric) in measured else "foreground"
        if (judged_by, metric) not in measured:
            raise UserError(
                f"no baseline was measured by {metric} over {region} on a volume of split 'val', "
                "so that there is no baseline to compare with. Give such a volume too."
            )
        scores = means.loc[judged_by, metric]
        better = plugins.load("pipeline.metrics", metric).HIGHER_IS_BETTER
        chosen[region, metric] = str(scores.idxmax() if better else scores.idxmin())
    return chosen


def summarise(rows: pd.DataFrame, settings: Evaluate, seed: int, stacks: Collection[str] = ()) -> pd.DataFrame:
    """Make the summary table.

    Args:
        rows: measurements of slices and of volumes as a whole, see `read_parts`.
        settings: the section `evaluate`.
        seed: root of the random numbers of the bootstrap.
        stacks: volumes whose slices are pictures without order.

    Returns:
        One row per split, method, region and metric, see `SummaryRow`. `mean` and `diff` (method minus baseline)
        are means over the n volumes; p is of Wilcoxon's signed-rank test over subjects (Biometrics Bulletin 1:80-83,
        1945), NaN where there are fewer than six.

    Raises:
        UserError: a method was not measured on the slices that the others were, or there is no baseline.
    """
    baselines = choose_baselines(volume_table(rows))
    compared: list[dict[str, Any]] = []
    groups: Any = rows_to_average(rows).groupby(["split", "region", "metric"], sort=True)
    for (split, region, metric), group in groups:
        baseline = baselines[region, metric]
        compared.extend(
            {"split": split, "region": region, "metric": metric, **row}
            for row in _compare(group, baseline, settings, seed, stacks)
        )
    table = pd.DataFrame(compared, columns=pd.Index(SUMMARY.columns))
    return table.sort_values(["split", "method", "region", "metric"], ignore_index=True)


def _compare(
    group: pd.DataFrame, baseline: str, settings: Evaluate, seed: int, stacks: Collection[str]
) -> list[dict[str, Any]]:
    """Compare all methods within one split, region and metric."""
    subjects = dict(zip(group["volume"], group["subject"], strict=True))
    tables = {str(volume): slices_by_method(part) for volume, part in group.groupby("volume", sort=True)}
    methods = sorted(group["method"].unique())
    check_complete(tables, {*methods, baseline})
    rows: list[dict[str, Any]] = []
    for method in methods:
        values = {volume: table[method].to_numpy() for volume, table in tables.items()}
        differences = {volume: values[volume] - table[baseline].to_numpy() for volume, table in tables.items()}
        mean, low, high = estimate(values, subjects, settings, seed, stacks)
        diff, diff_low, diff_high = estimate(differences, subjects, settings, seed, stacks)
        rows.append(
            {
                **{"method": method, "n": len(tables), "mean": mean, "ci_low": low, "ci_high": high},
                **{"baseline": baseline, "diff": diff, "diff_ci_low": diff_low, "diff_ci_high": diff_high},
                "p": signed_rank_p(differences, subjects),
            }
        )
    return rows


def slices_by_method(part: pd.DataFrame) -> pd.DataFrame:
    """Return the values of one volume, metric and region: one row a slice, one column a method."""
    return part.pivot_table(index="slice", columns="method", values="value", aggfunc="first", sort=True)


def check_complete(tables: Mapping[str, pd.DataFrame], methods: set[str]) -> None:
    """Refuse volumes on which a method misses a slice.

    Raises:
        UserError: naming the volume and the method.
    """
    for volume, table in tables.items():
        for method in sorted(methods):
            if method not in table or np.isnan(table[method].to_numpy()).any():
                raise UserError(
                    f"volume {volume!r}: method {method!r} was not measured on all slices that the others were. "
                    "Evaluate the volume again with all methods."
                )


def estimate(
    series: Mapping[str, Floats],
    subjects: Mapping[str, str],
    settings: Evaluate,
    seed: int,
    stacks: Collection[str] = (),
) -> tuple[float, float, float]:
    """Return the mean over volumes of the means over slices, and the bounds of its interval.

    The bounds are NaN where there is nothing to draw from: one subject, and one value a volume. Arguments as in
    `resampled_means`.
    """
    mean = float(np.mean([values.mean() for values in series.values()]))
    one_subject = len({subjects[volume] for volume in series}) == 1
    if (one_subject and max(map(len, series.values())) == 1) or not math.isfinite(mean):
        return mean, math.nan, math.nan
    block, samples = settings.bootstrap_block_slices, settings.bootstrap_samples
    resampled = resampled_means(series, subjects, block, samples, seed, stacks)
    return (mean, *percentile_interval(resampled, settings.confidence))


def signed_rank_p(differences: Mapping[str, Floats], subjects: Mapping[str, str]) -> float:
    """Return the two-sided p of the signed-rank test over the subjects' mean differences.

    NaN below six subjects, and where nothing differs.
    """
    means = subject_means(differences, subjects)
    if len(means) < MIN_SUBJECTS or not any(means):
        return math.nan
    result: Any = wilcoxon(means)
    return float(result.pvalue)


def subject_means(differences: Mapping[str, Floats], subjects: Mapping[str, str]) -> list[float]:
    """Return one number a subject: the mean over its volumes of the means over their slices."""
    by_subject: dict[str, list[float]] = {}
    for volume, values in differences.items():
        by_subject.setdefault(subjects[volume], []).append(float(values.mean()))
    return [float(np.mean(of_volumes)) for of_volumes in by_subject.values()]
