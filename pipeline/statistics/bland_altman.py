"""Agreement between two methods of measurement (Bland and Altman, Lancet 327:307-310, 1986)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipeline.statistics.bootstrap import Floats

LIMITS_COVERAGE = 0.95
"""Expected fraction of new subjects whose difference lies within the limits of agreement."""


@dataclass(frozen=True)
class Agreement:
    """Bias, its confidence interval, and the limits of agreement, in the unit of the differences; NaN if unknown."""

    n: int
    bias: float
    bias_low: float
    bias_high: float
    limit_low: float
    limit_high: float


def bland_altman(differences: Floats, confidence: float) -> Agreement:
    """Return bias and limits of agreement of independent differences.

    The limits are bias +- 1.96 standard deviations, and the interval of the bias is based on Student's t distribution,
    both as in the paper. For a single difference only the bias is known. Limits based on few differences are uncertain:
    their standard error is about the standard deviation times the square root of 3/n.

    Args:
        differences: method minus reference, one per subject, shape (n,).
        confidence: coverage of the confidence interval of the bias.
    """
    n, bias = len(differences), float(np.mean(differences))
    if n == 1:
        return Agreement(1, bias, math.nan, math.nan, math.nan, math.nan)
    deviation = float(np.std(differences, ddof=1))
    margin = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * deviation / math.sqrt(n)
    limit = float(stats.norm.ppf((1 + LIMITS_COVERAGE) / 2)) * deviation
    return Agreement(n, bias, bias - margin, bias + margin, bias - limit, bias + limit)
