"""Methods compared with the best baseline on the same parts of volumes, such as slices or blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.statistics.bland_altman import bland_altman

UNKNOWN = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Comparison:
    """One method in one split."""

    split: str
    method: str
    values: Any
    """its rows, a data frame indexed by volume and part"""
    baseline: str
    """the best baseline; empty without one"""
    difference: tuple[float, float, float]
    """mean of method minus baseline over their common parts, with the ends of its t interval; NaN without a baseline"""


def compare_with_best_baseline(
    table: pd.DataFrame,
    part: str,
    measure: str,
    baselines: Sequence[str],
    confidence: float,
    *,
    higher_is_better: bool,
) -> Iterator[Comparison]:
    """Compare every method of every split with the baseline of the best mean.

    Args:
        table: one row per volume, part and method, with the columns split, method, volume, `part` and `measure`.
        part: column with the part of the volume.
        measure: column that is compared.
        baselines: names of the baselines.
        confidence: coverage of the intervals.
        higher_is_better: whether the best mean is the highest, otherwise the lowest.
    """
    for split in sorted(set(table["split"])):
        of_split: Any = table[table["split"] == split]
        by_method: Mapping[str, Any] = {
            str(name): values.set_index(["volume", part]) for name, values in of_split.groupby("method", sort=True)
        }
        means = {name: float(by_method[name][measure].mean()) for name in baselines if name in by_method}
        choose = max if higher_is_better else min
        best = choose(means, key=lambda name: means[name], default="")
        for name, values in by_method.items():
            difference = UNKNOWN
            if best:
                paired: Any = (values[measure] - by_method[best][measure]).dropna()
                compared = bland_altman(paired.to_numpy(), confidence)
                difference = (compared.bias, compared.bias_low, compared.bias_high)
            yield Comparison(split, name, values, best, difference)
