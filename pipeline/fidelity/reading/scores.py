"""Scores of a reader study: mean opinion scores, preferences, and inter- and intra-reader agreement.

Confidence intervals are from a bootstrap that resamples readers and cases, both with replacement; each answer is
weighted by how often its reader and its case were drawn. With a single reader or a single case, the interval does not
cover the variation between readers or cases. Cases are slices: intervals are too narrow where several are from the same
volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.fidelity.reading.design import CHOICE, RATING
from pipeline.statistics.bootstrap import Floats, percentile_interval
from pipeline.statistics.krippendorff import MIN_READERS, Level, krippendorff_alpha
from pipeline.tables.reading_scores import OPINION_SCORES, PREFERENCES, READER_AGREEMENT, READER_CONSISTENCY

ALL = "all others"
"""Name of the row that pools all other methods."""

Draws = tuple[NDArray[np.integer], NDArray[np.integer]]
"""Number of times each reader, shape (samples, readers), and each case, shape (samples, cases), is drawn."""


def resample_counts(readers: int, cases: int, samples: int, seed: int) -> Draws:
    """Resample readers and cases with replacement."""
    generator = np.random.default_rng(seed)
    return tuple(  # pyright: ignore[reportReturnType]
        generator.multinomial(count, np.full(count, 1 / count), size=samples) for count in (readers, cases)
    )


def mean_with_interval(sums: Floats, counts: Floats, draws: Draws, confidence: float) -> tuple[float, float, float]:
    """Return a mean over answers and its confidence interval.

    Args:
        sums: sum of the values that each reader gave for each case, shape (readers, cases).
        counts: number of these values, same shape.
        draws: see `resample_counts`.
        confidence: coverage of the interval.
    """
    readers, cases = draws
    totals = [np.einsum("sr,rc,sc->s", readers, one, cases) for one in (sums, counts)]
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = totals[0] / totals[1]
    usable = resampled[np.isfinite(resampled)]  # a resample may contain no answer at all
    interval = percentile_interval(usable, confidence) if usable.size and counts.sum() > 1 else (math.nan, math.nan)
    return (float(sums.sum() / counts.sum()), *interval)


class Study:
    """Answers of a study, with the bootstrap over readers and cases."""

    def __init__(self, answers: pd.DataFrame, samples: int, confidence: float, seed: int) -> None:
        self.answers = answers
        self.fresh: Any = answers[answers["repeats"] == ""]
        self.readers = sorted(answers["reader"].unique())
        self.cases = sorted(answers["case"].unique())
        self.confidence = confidence
        self.draws = resample_counts(len(self.readers), len(self.cases), samples, seed)
        self.seed, self.samples = seed, samples

    def question(self, question: str) -> Any:
        """Return the answers to a question, without repeated items."""
        return self.fresh[self.fresh["question"] == question]

    def mean(self, rows: pd.DataFrame, values: Sequence[float] | Floats) -> tuple[float, float, float]:
        """Return the mean of one value per answer, and its confidence interval."""
        reader = np.searchsorted(self.readers, rows["reader"].to_numpy(dtype=object))
        case = np.searchsorted(self.cases, rows["case"].to_numpy(dtype=object))
        sums, counts = np.zeros((2, len(self.readers), len(self.cases)))
        np.add.at(sums, (reader, case), np.asarray(values, dtype=np.float64))
        np.add.at(counts, (reader, case), 1.0)
        return mean_with_interval(sums, counts, self.draws, self.confidence)


def opinion_scores(study: Study) -> pd.DataFrame:
    """Return the mean opinion score of each method, best first, see `OpinionScore`."""
    rows = []
    for method, part in study.question(RATING).groupby("first"):
        mean, low, high = study.mean(part, part["rating"].to_numpy())
        rows.append((method, part["reader"].nunique(), part["case"].nunique(), len(part), mean, low, high))
    table = pd.DataFrame(rows, columns=pd.Index(OPINION_SCORES.columns))
    return table.sort_values(["mean_opinion", "method"], ascending=[False, True], ignore_index=True)


def preferences(study: Study) -> pd.DataFrame:
    """Return how often each method is preferred to all others pooled and to each other method, see `Preference`."""
    choices = study.question(CHOICE)
    methods = sorted({*choices["first"], *choices["second"]})
    rows: list[Any] = []
    for method in methods:
        for other in (ALL, *(one for one in methods if one != method)):
            of_method = (choices["first"] == method) | (choices["second"] == method)
            of_other = (choices["first"] == other) | (choices["second"] == other) | (other == ALL)
            part: Any = choices[of_method & of_other]
            if part.empty:
                continue
            won = (part["chosen"] == method).to_numpy(dtype=np.float64)
            rows.append((method, other, len(part), int(won.sum()), *study.mean(part, won)))
    return pd.DataFrame(rows, columns=pd.Index(PREFERENCES.columns))


def reader_table(study: Study) -> pd.DataFrame:
    """Return the consistency of each reader over repeated items, see `ReaderConsistency`.

    `first_taken` is the fraction of choices of image A; a reader far from one half did not compare the images.
    `rating_alpha` is Krippendorff's alpha between first and repeated ratings of the same images.
    """
    rows = []
    for reader in study.readers:
        own: Any = study.answers[study.answers["reader"] == reader]
        fresh = own[own["repeats"] == ""]
        ratings, choices = (fresh[fresh["question"] == one] for one in (RATING, CHOICE))
        rated, chosen = (
            _repeated(own, question, value) for question, value in ((RATING, "rating"), (CHOICE, "chosen"))
        )
        both: Any = np.array(rated, dtype=np.float64).reshape(-1, 2).T
        rows.append(
            (
                *(reader, len(ratings), _mean(ratings["rating"]), len(rated), _mean([a == b for a, b in rated])),
                krippendorff_alpha(both, "ordinal"),
                *(len(choices), _mean(choices["chosen"] == choices["first"])),
                *(len(chosen), _mean([a == b for a, b in chosen])),
            )
        )
    return pd.DataFrame(rows, columns=pd.Index(READER_CONSISTENCY.columns))


def _repeated(own: Any, question: str, value: str) -> list[tuple[Any, Any]]:
    """Return the first and the repeated answer of a reader to each repeated item."""
    part = own[own["question"] == question]
    first = dict(zip(part["item"], part[value], strict=True))
    again = part[part["repeats"].isin(first)]
    return [(first[item], answer) for item, answer in zip(again["repeats"], again[value], strict=True)]


def _mean(values: Any) -> float:
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()) if array.size else math.nan


def reader_agreement(study: Study) -> pd.DataFrame:
    """Return Krippendorff's alpha between readers, see `ReaderAgreement`; NaN for a single reader.

    Ratings are ordinal. The chosen image of a pair is nominal, since the order of the images is random. The interval is
    from a bootstrap over cases only: a reader who is drawn twice would agree with themselves.
    """
    rows: list[Any] = []
    levels: tuple[tuple[str, Level], ...] = ((RATING, "ordinal"), (CHOICE, "nominal"))
    for question, level in levels:
        part = study.question(question)
        values, cases = _by_reader(part, study.readers)
        alpha = krippendorff_alpha(values, level) if len(study.readers) >= MIN_READERS else math.nan
        interval = (math.nan, math.nan)
        if math.isfinite(alpha):
            interval = _alpha_interval(values, cases, level, study)
        rows.append((question, part["reader"].nunique(), part["item"].nunique(), alpha, *interval))
    return pd.DataFrame(rows, columns=pd.Index(READER_AGREEMENT.columns))


def _by_reader(part: pd.DataFrame, readers: Sequence[str]) -> tuple[Floats, NDArray]:
    """Return answers as numbers, shape (readers, items), NaN where missing, and the case of each item."""
    number = np.where(part["question"] == RATING, part["rating"], part["chosen"] == part["first"]).astype(np.float64)
    wide = part.assign(number=number).pivot_table(index="reader", columns=["case", "item"], values="number")
    wide = wide.reindex(index=pd.Index(readers))
    return wide.to_numpy(dtype=np.float64), wide.columns.get_level_values("case").to_numpy()


def _alpha_interval(values: Floats, cases: NDArray, level: Level, study: Study) -> tuple[float, float]:
    generator = np.random.default_rng(study.seed)
    members = [np.flatnonzero(cases == case) for case in np.unique(cases)]
    if len(members) == 1:
        return math.nan, math.nan
    samples = []
    for _ in range(study.samples):
        chosen = np.concatenate([members[index] for index in generator.integers(len(members), size=len(members))])
        samples.append(krippendorff_alpha(values[:, chosen], level))
    usable = np.array([one for one in samples if math.isfinite(one)])
    return percentile_interval(usable, study.confidence) if usable.size else (math.nan, math.nan)
