"""Agreement between two ways to measure the same thing (Bland and Altman, Lancet 327:307-310, 1986)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipeline.statistics.bootstrap import Floats

LIMITS_COVERAGE = 0.95
"""Share of further subjects whose difference is expected between the limits of agreement."""


@dataclass(frozen=True)
class Agreement:
    """Bias, its interval, and the limits of agreement, in the unit of the differences; NaN where not known."""

    n: int
    bias: float
    bias_low: float
    bias_high: float
    limit_low: float
    limit_high: float


def bland_altman(differences: Floats, confidence: float) -> Agreement:
    """Return bias and limits of agreement of differences that are independent of each other.

    The limits are bias +- 1.96 standard deviations; the interval of the bias is Student's t, both as in the paper. With
    one difference only the bias is known. Limits out of few differences are themselves uncertain: their standard error
    is about the standard deviation times the square root of 3/n.

    Args:
        differences: method minus reference, one a subject, shape (n,).
        confidence: coverage of the interval of the bias.
    """
    n, bias = len(differences), float(np.mean(differences))
    if n == 1:
        return Agreement(1, bias, math.nan, math.nan, math.nan, math.nan)
    deviation = float(np.std(differences, ddof=1))
    margin = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * deviation / math.sqrt(n)
    spread = float(stats.norm.ppf((1 + LIMITS_COVERAGE) / 2)) * deviation
    return Agreement(n, bias, bias - margin, bias + margin, bias - spread, bias + spread)
