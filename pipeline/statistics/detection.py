"""How many inserted structures methods show: rates, their intervals, and the differences between methods.

Places in one head are no independent heads, and places in one slice share that slice's anatomy. So subjects are drawn,
where there are several; of each, slices; and of each slice, places (a bootstrap in two stages: Davison and Hinkley,
Bootstrap Methods and their Application, section 3.8, Cambridge 1997). Drawing slices alone would make intervals too
narrow where they are few. A place brings all that was inserted there, at every contrast, and what every method showed
of it, so that differences between methods are paired.

The rate at which an observer says "there" where nothing is was set elsewhere in the volume. At the inserted places
themselves it may differ by chance, or since what carries a structure looks like one, and more so for some methods.
So methods are also compared by the rate of detection less that of false alarms at the same places (Youden's index,
Cancer 3:32-35, 1950).

Where there is one subject, intervals say what other places and slices of this head would have given, and nothing of
other heads.
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
"""Columns of resampled sums, beside the first, which counts what was inserted."""


def place_weights(slices: NDArray[np.integer], samples: int, generator: np.random.Generator) -> Floats:
    """Return how often each place is drawn: slices first, then as many places in each as it has.

    Args:
        slices: the slice of each place, shape (places,).
        samples: number of resamples.
        generator: source of the random numbers.

    Returns:
        Counts, shape (samples, places).
    """
    names, belongs, sizes = np.unique(slices, return_inverse=True, return_counts=True)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=samples)
    weights = np.zeros((samples, len(slices)))
    for index, size in enumerate(sizes):
        weights[:, belongs == index] = generator.multinomial(drawn[:, index] * size, np.full(size, 1 / size))
    return weights


def resampled_sums(places: pd.DataFrame, samples: int, seed: int) -> dict[tuple[Any, ...], Floats]:
    """Return resampled sums of one volume.

    The random numbers hang on the seed and the volume's name alone: all methods are resampled alike.

    Args:
        places: the volume's rows of the table of places.
        samples: number of resamples.
        seed: root of the random numbers.

    Returns:
        By method, kind, size and contrast: inserted and detected structures, and the latter less the places with false
        alarms, shape (samples, 3).
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
    """Return the table of counts of one volume with intervals of the share that was detected.

    Args:
        counts: a volume's rows of the table of detections.
        places: its rows of the table of places.
        samples: number of resamples.
        confidence: coverage of the intervals.
        seed: root of the random numbers.

    Returns:
        `counts` with the columns rate, ci_low and ci_high: of other slices and places of the same head.
    """
    sums = resampled_sums(places, samples, seed) if len(places) else {}
    keys = counts[["method", *CONDITION]].itertuples(index=False, name=None)
    low, high = np.reshape([_interval(_ratio(sums[key], DETECTED), confidence) for key in keys], (-1, 2)).T
    return counts.assign(rate=counts["detected"] / counts["inserted"], ci_low=low, ci_high=high)


def rate_table(
    volumes: Sequence[tuple[pd.DataFrame, pd.DataFrame]], deliver: str, samples: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Return the rates of every split and method: over all that was inserted, by kind, and by condition.

    Args:
        volumes: of each volume, its rows of the table of detections and of the table of places.
        deliver: the delivered method, with which the others are compared.
        samples: number of resamples.
        confidence: coverage of the intervals.
        seed: root of the random numbers.

    Returns:
        See `DetectionRate`. Differences are paired: of the same resamples.
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
    """All taken together, then each kind, then each condition; None stands for all."""
    single = sorted(set(counts[CONDITION].itertuples(index=False, name=None)))
    kinds = sorted({one[0] for one in single})
    return [(None, None, None), *((kind, None, None) for kind in kinds), *single]


def _matches(condition: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    return all(want is None or one == want for one, want in zip(condition, wanted, strict=True))


def _rates(
    split: str,
    counts: pd.DataFrame,
    sums: Mapping[tuple[Any, ...], Floats],
    wanted: tuple[Any, ...],
    deliver: str,
    confidence: float,
) -> list[tuple[Any, ...]]:
    """The rows of one split and condition, a method each."""
    fits = [_matches(one, wanted) for one in counts[CONDITION].itertuples(index=False, name=None)]
    chosen: Any = counts[np.array(fits)]
    totals: Any = chosen.groupby("method", sort=True)[["inserted", "detected", "false_alarms"]].sum()
    merged = {
        method: sum(one for key, one in sums.items() if key[0] == method and _matches(key[1:], wanted))
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
                *(split, method, *wanted, chosen["subject"].nunique()),
                *(int(total["inserted"]), int(total["detected"]), rates.loc[method, "detected"]),
                *_interval(_ratio(merged[method], DETECTED), confidence),
                *(rates.loc[method, "false_alarms"], deliver, *differences),
            )
        )
    return rows


def _over_subjects(volumes: Sequence[pd.DataFrame], samples: int, seed: int) -> dict[tuple[Any, ...], Floats]:
    """Resampled sums over volumes: subjects are drawn where there are several, each with all of its volumes."""
    by_subject: dict[str, list[pd.DataFrame]] = {}
    for places in volumes:
        by_subject.setdefault(str(places["subject"].iloc[0]), []).append(places)
    names = sorted(by_subject)
    generator = np.random.default_rng([seed, *b"subjects"])
    drawn = generator.integers(len(names), size=(len(names), samples))
    # A subject that is drawn twice shall not bring the same places twice.
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
    """A column of resampled sums over what was inserted; NaN in resamples that hold nothing."""
    found, inserted = (np.asarray(sums, dtype=np.float64)[:, place] for place in (column, 0))
    return np.divide(found, inserted, out=np.full(len(inserted), np.nan), where=inserted > 0)


def _interval(resampled: Floats, confidence: float) -> tuple[float, float]:
    known = resampled[~np.isnan(resampled)]
    return percentile_interval(known, confidence) if len(known) else (float("nan"), float("nan"))
