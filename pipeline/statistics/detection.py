"""Detection rates of inserted structures, with confidence intervals and paired differences between methods.

Positions in one head are not independent, and positions in one slice share its anatomy. The bootstrap therefore draws
subjects, if there are several, then slices of each subject, then positions in each slice (multi-stage bootstrap:
Davison and Hinkley, Bootstrap Methods and their Application, section 3.8, Cambridge 1997). Drawing slices alone would
give intervals that are too narrow if there are few slices. A position includes the structures inserted there at all
contrasts and their detection by all methods, so that differences between methods are paired.

The false-alarm rate of the observer was fixed elsewhere in the volume. At the inserted positions it may differ by
chance, or because the background there resembles a structure, and differently so for different methods. Methods are
therefore also compared by the detection rate minus the false-alarm rate at the same positions (Youden's index, Cancer
3:32-35, 1950).

For a single subject, the intervals apply to other positions and slices of this head, not to other heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.statistics.bootstrap import percentile_interval
from pipeline.tables.detection_rates import DETECTION_RATES

Floats = NDArray[np.float64]

CONDITION = ["kind", "size_voxels", "contrast"]
PLACE = ["draw", "kind", "size_voxels", "slice", "place"]
DETECTED, NET = 1, 2
"""Columns of resampled sums; column 0 counts the inserted structures."""


def place_weights(slices: NDArray[np.integer], samples: int, generator: np.random.Generator) -> Floats:
    """Draw slices, then positions within each drawn slice, and return how often each position was drawn.

    Args:
        slices: slice of each position, shape (positions,).
        samples: number of resamples.
        generator: random number generator.

    Returns:
        Counts, shape (samples, positions).
    """
    names, belongs, sizes = np.unique(slices, return_inverse=True, return_counts=True)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=samples)
    weights = np.zeros((samples, len(slices)))
    for index, size in enumerate(sizes):
        weights[:, belongs == index] = generator.multinomial(drawn[:, index] * size, np.full(size, 1 / size))
    return weights


def resampled_sums(places: pd.DataFrame, samples: int, seed: int) -> dict[tuple[Any, ...], Floats]:
    """Return the resampled sums of one volume.

    The random numbers depend only on the seed and the name of the volume, so that all methods are resampled
    identically.

    Args:
        places: rows of the volume in the table of positions.
        samples: number of resamples.
        seed: random seed.

    Returns:
        Arrays of shape (samples, 3) by method, kind, size and contrast, with the numbers of inserted structures, of
        detected structures, and of detected structures minus false alarms.
    """
    sites: Any = places[PLACE].drop_duplicates()
    sites = sites.sort_values(PLACE, ignore_index=True)
    number = {tuple(row): index for index, row in enumerate(sites.itertuples(index=False, name=None))}
    generator = np.random.default_rng([seed, *str(places["volume"].iloc[0]).encode()])
    weights = place_weights(sites["slice"].to_numpy(), samples, generator)
    groups: Any = places.groupby(["method", *CONDITION], sort=True)
    found = {}
    for key, rows in groups:
        chosen = weights[:, [number[row] for row in rows[PLACE].itertuples(index=False, name=None)]]
        detected, alarms = (rows[name].to_numpy(float) for name in ("detected", "false_alarm"))
        found[key] = np.column_stack([chosen.sum(axis=1), chosen @ detected, chosen @ (detected - alarms)])
    return found


def with_intervals(counts: pd.DataFrame, places: pd.DataFrame, samples: int, confidence: float, seed: int) -> Any:
    """Add detection rates and their confidence intervals to the counts of one volume.

    Args:
        counts: rows of the volume in the table of detections.
        places: rows of the volume in the table of positions.
        samples: number of resamples.
        confidence: coverage of the intervals.
        seed: random seed.

    Returns:
        `counts` with the columns rate, ci_low and ci_high. The intervals apply to other slices and positions of the
        same head.
    """
    sums = resampled_sums(places, samples, seed) if len(places) else {}
    keys = counts[["method", *CONDITION]].itertuples(index=False, name=None)
    low, high = np.reshape([_interval(_ratio(sums[key], DETECTED), confidence) for key in keys], (-1, 2)).T
    return counts.assign(rate=counts["detected"] / counts["inserted"], ci_low=low, ci_high=high)


def rate_table(
    volumes: Sequence[tuple[pd.DataFrame, pd.DataFrame]], deliver: str, samples: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Compute the detection rates of every split and method: over all structures, by kind, and by condition.

    Args:
        volumes: for each volume, its rows of the table of detections and of the table of positions.
        deliver: the delivered method, with which the others are compared.
        samples: number of resamples.
        confidence: coverage of the intervals.
        seed: random seed.

    Returns:
        Table with the columns of `DetectionRate`. Differences are paired, computed on the same resamples.
    """
    filled = [pair for pair in volumes if len(pair[0])]
    rows: list[tuple[Any, ...]] = []
    for split in sorted({pair[0]["split"].iloc[0] for pair in filled}):
        here = [pair for pair in filled if pair[0]["split"].iloc[0] == split]
        counts = pd.concat([pair[0] for pair in here])
        sums = _over_subjects([pair[1] for pair in here], samples, seed)
        for condition in _conditions(counts):
            rows.extend(_rates(split, counts, sums, condition, deliver, confidence))
    return pd.DataFrame(rows, columns=pd.Index(DETECTION_RATES.columns))


def _conditions(counts: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return conditions with None for all values: all structures, each kind, and each condition."""
    single = sorted(set(counts[CONDITION].itertuples(index=False, name=None)))
    kinds = sorted({one[0] for one in single})
    return [(None, None, None), *((kind, None, None) for kind in kinds), *single]


def _matches(condition: tuple[Any, ...], pattern: tuple[Any, ...]) -> bool:
    return all(expected is None or value == expected for value, expected in zip(condition, pattern, strict=True))


def _rates(
    split: str,
    counts: pd.DataFrame,
    sums: Mapping[tuple[Any, ...], Floats],
    pattern: tuple[Any, ...],
    deliver: str,
    confidence: float,
) -> list[tuple[Any, ...]]:
    """Return the rows of one split and condition, one per method."""
    fits = [_matches(one, pattern) for one in counts[CONDITION].itertuples(index=False, name=None)]
    chosen: Any = counts[np.array(fits)]
    totals: Any = chosen.groupby("method", sort=True)[["inserted", "detected", "false_alarms"]].sum()
    merged = {
        method: sum(one for key, one in sums.items() if key[0] == method and _matches(key[1:], pattern))
        for method in totals.index
    }
    totals = totals.assign(net=totals["detected"] - totals["false_alarms"])
    rates = totals.div(totals["inserted"], axis=0)
    rows = []
    for method, total in totals.iterrows():
        differences: list[float] = []
        for name, column in (("detected", DETECTED), ("net", NET)):
            if deliver in merged and method != deliver:
                between = _ratio(merged[deliver], column) - _ratio(merged[method], column)
                differences += [rates.loc[deliver, name] - rates.loc[method, name], *_interval(between, confidence)]
            else:
                differences += [np.nan] * 3
        rows.append(
            (
                *(split, method, *pattern, chosen["subject"].nunique()),
                *(int(total["inserted"]), int(total["detected"]), rates.loc[method, "detected"]),
                *_interval(_ratio(merged[method], DETECTED), confidence),
                *(rates.loc[method, "false_alarms"], deliver, *differences),
            )
        )
    return rows


def _over_subjects(volumes: Sequence[pd.DataFrame], samples: int, seed: int) -> dict[tuple[Any, ...], Floats]:
    """Return resampled sums over volumes; if there are several subjects, they are drawn with all their volumes."""
    by_subject: dict[str, list[pd.DataFrame]] = {}
    for places in volumes:
        by_subject.setdefault(str(places["subject"].iloc[0]), []).append(places)
    names = sorted(by_subject)
    generator = np.random.default_rng([seed, *b"subjects"])
    drawn = generator.integers(len(names), size=(len(names), samples))
    # A subject that is drawn twice gets independent resamples of its positions.
    resample = generator.integers(samples, size=drawn.shape)
    totals: dict[tuple[Any, ...], Floats] = {}
    for index, name in enumerate(names):
        for places in by_subject[name]:
            for key, sums in resampled_sums(places, samples, seed).items():
                total = totals.setdefault(key, np.zeros((samples, 3)))
                if len(names) == 1:
                    total += sums
                    continue
                for turn, chosen in zip(drawn, resample, strict=True):
                    hit = turn == index
                    total[hit] += sums[chosen[hit]]
    return totals


def _ratio(sums: Any, column: int) -> Floats:
    """Return a column of resampled sums divided by the number of inserted structures; NaN for empty resamples."""
    found, inserted = (np.asarray(sums, dtype=np.float64)[:, place] for place in (column, 0))
    return np.divide(found, inserted, out=np.full(len(inserted), np.nan), where=inserted > 0)


def _interval(resampled: Floats, confidence: float) -> tuple[float, float]:
    known = resampled[~np.isnan(resampled)]
    return percentile_interval(known, confidence) if len(known) else (float("nan"), float("nan"))
