"""Inter-reader agreement by Krippendorff's alpha, for any number of readers and with missing answers."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Level = Literal["nominal", "ordinal"]
MIN_READERS = 2


def krippendorff_alpha(values: NDArray[np.float64], level: Level) -> float:
    """Return Krippendorff's alpha: 1 for perfect agreement, 0 for chance, below 0 for less than chance.

    Alpha is one minus the observed divided by the expected disagreement (Krippendorff, Computing Krippendorff's
    alpha-reliability, University of Pennsylvania, 2011). The disagreement of two different categories is 1 (nominal),
    or depends on the number of answers between them (ordinal).

    Args:
        values: ratings of shape (readers, items), NaN for missing answers.
        level: level of measurement of the categories.

    Returns:
        Alpha; NaN if no item was rated by two readers, or if all answers are the same.
    """
    rated = values[:, np.count_nonzero(~np.isnan(values), axis=0) >= MIN_READERS]
    categories = np.unique(rated[~np.isnan(rated)])
    if categories.size == 0:
        return math.nan
    counts = np.stack([np.count_nonzero(rated == one, axis=0) for one in categories], axis=1)
    answers = counts.sum(axis=1)
    weighted = counts / (answers - 1)[:, None]
    coincidences = weighted.T @ counts - np.diag(weighted.sum(axis=0))
    totals = coincidences.sum(axis=0)
    distances = _distances(totals, level)
    expected = float(totals @ distances @ totals) / (totals.sum() - 1)
    return 1 - float(np.sum(coincidences * distances)) / expected if expected else math.nan


def _distances(totals: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    """Return the squared distances between categories, shape (categories, categories)."""
    if level == "nominal":
        return 1.0 - np.eye(len(totals))
    middles = np.cumsum(totals) - totals / 2
    return np.square(middles[:, None] - middles[None, :])
