"""Do readers agree beyond chance? Krippendorff's alpha, for any number of readers and missing answers."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Level = Literal["nominal", "ordinal"]
MIN_READERS = 2


def krippendorff_alpha(values: NDArray[np.float64], level: Level) -> float:
    """Return the agreement of readers: 1 is perfect, 0 is chance, below 0 is worse than chance.

    Krippendorff, Computing Krippendorff's alpha-reliability, University of Pennsylvania, 2011: one minus observed over
    expected disagreement, where two categories disagree altogether (nominal) or by how many answers lie between them
    (ordinal).

    Args:
        values: shape (readers, things that were judged), NaN where a reader gave no answer.
        level: how categories compare.

    Returns:
        NaN where no two readers judged the same thing, or where all answers are the same.
    """
    judged = values[:, np.count_nonzero(~np.isnan(values), axis=0) >= MIN_READERS]
    categories = np.unique(judged[~np.isnan(judged)])
    counts = (
        np.stack([np.count_nonzero(judged == one, axis=0) for one in categories], axis=1) if categories.size else None
    )
    if counts is None:
        return math.nan
    answers = counts.sum(axis=1)
    weighted = counts / (answers - 1)[:, None]
    together = weighted.T @ counts - np.diag(weighted.sum(axis=0))
    totals = together.sum(axis=0)
    distances = _distances(totals, level)
    expected = float(totals @ distances @ totals) / (totals.sum() - 1)
    return 1 - float(np.sum(together * distances)) / expected if expected else math.nan


def _distances(totals: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    """Squared distances between categories, shape (categories, categories)."""
    if level == "nominal":
        return 1.0 - np.eye(len(totals))
    middles = np.cumsum(totals) - totals / 2
    return np.square(middles[:, None] - middles[None, :])
