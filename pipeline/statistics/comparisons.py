"""Comparison of every network with every baseline, including the pretrained network before training.

The summary compares with a single baseline, the best on validation. Here networks are compared with all of them, and
the tests are corrected for multiple comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from pipeline import plugins
from pipeline.config.recipe import PRETRAINED
from pipeline.config.sections import Evaluate
from pipeline.statistics.bootstrap import Floats
from pipeline.statistics.measurements import rows_to_average
from pipeline.statistics.summary import check_complete, estimate, signed_rank_p, slices_by_method, subject_means
from pipeline.tables.comparisons import COMPARISONS

MIN_PAIRS = 2
"""Minimum number of pairs for an effect size; a single pair always has the effect +1 or -1."""


def compare_all(rows: pd.DataFrame, settings: Evaluate, seed: int, stacks: Collection[str] = ()) -> pd.DataFrame:
    """Compute the table of comparisons.

    Args:
        rows: values of slices and of whole volumes, see `read_parts`.
        settings: the section `evaluate`.
        seed: random seed of the bootstrap, the same as for the summary.
        stacks: volumes whose slices are unrelated pictures.

    Returns:
        One row per split, network, region, metric and baseline, see `Comparison`. `diff` is the mean paired difference
        over volumes, network minus baseline, with its bootstrap interval. `effect` is `rank_biserial` of the mean
        differences of the subjects. `p` is that of the signed-rank test over subjects, NaN for fewer than six. `p_holm`
        is `p` corrected for all baselines of the same network, split, region and metric.

    Raises:
        UserError: a method has no value for some of the slices.
    """
    found: list[dict[str, Any]] = []
    groups: Any = rows_to_average(rows).groupby(["split", "region", "metric"], sort=True)
    for (split, region, metric), group in groups:
        subjects = dict(zip(group["volume"], group["subject"], strict=True))
        tables = {str(volume): slices_by_method(part) for volume, part in group.groupby("volume", sort=True)}
        methods = sorted(group["method"].unique())
        check_complete(tables, set(methods))
        for network, baselines in pairs_of(methods):
            against = [
                {"baseline": one, **_compare(_differences(tables, network, one), subjects, settings, seed, stacks)}
                for one in baselines
            ]
            corrected = holm([row["p"] for row in against])
            key = {"split": split, "method": network, "region": region, "metric": metric}
            found.extend({**key, **row, "p_holm": p} for row, p in zip(against, corrected, strict=True))
    table = pd.DataFrame(found, columns=pd.Index(COMPARISONS.columns))
    return table.sort_values(["split", "method", "region", "metric", "baseline"], ignore_index=True)


def pairs_of(methods: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield every network with its baselines; the pretrained network is both network and baseline."""
    classical = plugins.names("pipeline.baselines")
    baselines = [method for method in methods if method in classical or method == PRETRAINED]
    for network in methods:
        if network not in classical:
            yield network, [one for one in baselines if one != network]


def _differences(tables: Mapping[str, pd.DataFrame], network: str, baseline: str) -> dict[str, Floats]:
    with np.errstate(invalid="ignore"):  # difference of two infinite values
        return {volume: (table[network] - table[baseline]).to_numpy() for volume, table in tables.items()}


def _compare(
    differences: Mapping[str, Floats],
    subjects: Mapping[str, str],
    settings: Evaluate,
    seed: int,
    stacks: Collection[str],
) -> dict[str, Any]:
    diff, low, high = estimate(differences, subjects, settings, seed, stacks)
    means = subject_means(differences, subjects)
    return {
        **{"subjects": len(means), "diff": diff, "diff_ci_low": low, "diff_ci_high": high},
        **{"effect": rank_biserial(means), "p": signed_rank_p(differences, subjects)},
    }


def rank_biserial(differences: Sequence[float]) -> float:
    """Return the matched-pairs rank-biserial correlation (Kerby, Comprehensive Psychology 3:11.IT.3.1, 2014).

    It is the effect size of the signed-rank test. The differences are ranked by magnitude, and the fraction of the rank
    sum with a negative sign is subtracted from the fraction with a positive sign: +1 if all differences are positive,
    -1 if all are negative. Differences of zero are excluded, as in the test.

    Returns:
        Value between -1 and 1; NaN for fewer than two non-zero differences, or if a difference is not finite.
    """
    values = np.asarray([one for one in differences if one != 0], dtype=np.float64)
    if len(values) < MIN_PAIRS or not np.isfinite(values).all():
        return math.nan
    ranks = rankdata(np.abs(values))
    return float(np.sum(np.sign(values) * ranks) / np.sum(ranks))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for multiple comparisons (Holm, Scandinavian Journal of Statistics 6:65-70, 1979).

    Returns:
        Corrected values in the same order, at most 1; NaN values are ignored and stay NaN.
    """
    corrected = [math.nan] * len(p_values)
    tested = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for place, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - place) * p))
        corrected[index] = largest
    return corrected
