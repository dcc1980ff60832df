"""Summary of every method in every split, with confidence intervals and the difference from the best baseline."""

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
    """Choose the best baseline for every region and metric on the validation volumes.

    For a region that no validation volume has, such as a structure of a segmentation, the baseline is chosen over the
    foreground.

    Args:
        volumes: table of volumes.

    Returns:
        Names of baselines by (region, metric).

    Raises:
        UserError: no baseline has a value on validation.
    """
    baselines = volumes[(volumes["split"] == "val") & volumes["method"].isin(plugins.names("pipeline.baselines"))]
    means: Any = baselines.groupby(["region", "metric", "method"])["value"].mean()
    chosen: dict[tuple[str, str], str] = {}
    evaluated = set(means.index.droplevel("method"))
    for region, metric in sorted({*zip(volumes["region"], volumes["metric"], strict=True)}):
        chosen_over = region if (region, metric) in evaluated else "foreground"
        if (chosen_over, metric) not in evaluated:
            raise UserError(
                f"no baseline was evaluated with {metric} over {region} on a volume of split 'val', "
                "so that no baseline can be chosen for comparison. Add such a volume."
            )
        scores = means.loc[chosen_over, metric]
        better = plugins.load("pipeline.metrics", metric).HIGHER_IS_BETTER
        chosen[region, metric] = str(scores.idxmax() if better else scores.idxmin())
    return chosen


def summarise(rows: pd.DataFrame, settings: Evaluate, seed: int, stacks: Collection[str] = ()) -> pd.DataFrame:
    """Compute the summary table.

    Args:
        rows: values of slices and of whole volumes, see `read_parts`.
        settings: the section `evaluate`.
        seed: random seed of the bootstrap.
        stacks: volumes whose slices are unrelated pictures.

    Returns:
        One row per split, method, region and metric, see `SummaryRow`. `mean` and `diff` (method minus baseline)
        are means over the n volumes; `p` is that of Wilcoxon's signed-rank test over subjects (Biometrics Bulletin
        1:80-83, 1945), NaN for fewer than six subjects.

    Raises:
        UserError: a method has no value for some of the slices, or there is no baseline.
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
    """Return the values of one volume, metric and region, with one row per slice and one column per method."""
    return part.pivot_table(index="slice", columns="method", values="value", aggfunc="first", sort=True)


def check_complete(tables: Mapping[str, pd.DataFrame], methods: set[str]) -> None:
    """Check that all methods have a value for every slice.

    Raises:
        UserError: a method has no value for some of the slices; the message names the volume and the method.
    """
    for volume, table in tables.items():
        for method in sorted(methods):
            if method not in table or np.isnan(table[method].to_numpy()).any():
                raise UserError(
                    f"volume {volume!r}: method {method!r} was not evaluated on the same slices as the other "
                    "methods. Evaluate the volume again with all methods."
                )


def estimate(
    series: Mapping[str, Floats],
    subjects: Mapping[str, str],
    settings: Evaluate,
    seed: int,
    stacks: Collection[str] = (),
) -> tuple[float, float, float]:
    """Return the mean over volumes of the means over slices, and the bounds of its confidence interval.

    The bounds are NaN if nothing can be resampled: one subject with one value per volume. Arguments as in
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
    """Return the two-sided p value of the signed-rank test over the mean differences of the subjects.

    It is NaN for fewer than six subjects, and if all differences are zero.
    """
    means = subject_means(differences, subjects)
    if len(means) < MIN_SUBJECTS or not any(means):
        return math.nan
    result: Any = wilcoxon(means)
    return float(result.pvalue)


def subject_means(differences: Mapping[str, Floats], subjects: Mapping[str, str]) -> list[float]:
    """Return one value per subject: the mean over its volumes of the means over slices."""
    by_subject: dict[str, list[float]] = {}
    for volume, values in differences.items():
        by_subject.setdefault(subjects[volume], []).append(float(values.mean()))
    return [float(np.mean(of_volumes)) for of_volumes in by_subject.values()]
