"""Fit of prediction intervals of errors, and their calibration over persons.

The half-width is fitted as a quantile of the absolute error: monotone additive quantile regression on the logarithms of
the features (Koenker and Bassett, Econometrica 46:33-50, 1978), with a smoothed loss (Fernandes, Guerre and Horta,
Journal of Business and Economic Statistics 39:338-357, 2021). Its scale is then calibrated by conformal prediction
(conformalised quantile regression: Romano, Patterson and Candes, NeurIPS 2019; Angelopoulos and Bates,
arXiv:2107.07511, 2021). Voxels of one person are not independent, so persons are the units: the model is fitted without
the persons of a fold and applied to them (cross-conformal: Vovk, Annals of Mathematics and Artificial Intelligence
74:9-28, 2015), and the scale of a level is the smallest one whose mean coverage over persons reaches the level.

This is no guarantee for a single person, and there is no correction for few persons, which would need nine of them for
intervals of 90 % and make these wider than that on average.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pipeline.inference.error_map import unscaled_half_width
from pipeline.models.error_intervals import MAP_LEVEL, ErrorIntervals, ErrorTerm, Feature, LevelScale

LEVELS = (0.5, 0.6, 0.7, 0.8, MAP_LEVEL, 0.95)
"""Levels for which intervals are calibrated."""
KNOTS = np.linspace(0.01, 0.99, 6)
"""Knots of the terms, as quantiles of a feature."""
MAX_FOLDS = 10
MAX_FITTED = 60_000
"""Maximum number of voxels to which a model is fitted."""
LOWEST_ERROR = 1e-4
"""Lower bound of errors in the fit, as a fraction of the normalised range."""
BANDWIDTHS = (0.5, 0.05)
"""Smoothing of the loss in successive fits, as a difference of logarithms."""
DIGITS = 6
"""Significant digits of the stored numbers."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class ErrorSample:
    """Randomly drawn foreground voxels of a volume.

    Attributes:
        volume: name of the volume.
        subject: person.
        features: logarithms of the features by name, each of shape (voxels,).
        errors: absolute errors, shape (voxels,), normalised.
    """

    volume: str
    subject: str
    features: dict[Feature, Floats]
    errors: Floats


def fit_intervals(samples: Sequence[ErrorSample]) -> ErrorIntervals:
    """Fit prediction intervals and calibrate them over persons; every person counts once, whatever their volumes.

    Args:
        samples: of all validation volumes, at least one, each with at least one voxel. With a single person, fit and
            calibration use the same voxels.
    """
    subjects = sorted({one.subject for one in samples})
    folds = [set(subjects[start::MAX_FOLDS]) for start in range(min(MAX_FOLDS, len(subjects)))]
    final = _fit(samples)
    scores: list[Floats] = []
    weights: list[Floats] = []
    for fold in folds:
        model = _fit([one for one in samples if one.subject not in fold]) if len(folds) > 1 else final
        left_out = [one for one in samples if one.subject in fold]
        scores += [one.errors / unscaled_half_width(model, one.features.items()) for one in left_out]
        weights += _person_weights(left_out)
    pooled, shares = np.concatenate(scores), np.concatenate(weights)
    scales = tuple(LevelScale(level, _rounded(_quantile(pooled, shares, level))) for level in LEVELS)
    return final.model_copy(update={"scales": scales})


def _fit(samples: Sequence[ErrorSample]) -> ErrorIntervals:
    """Fit the model of the half-width, unscaled, to the level of the maps."""
    count = max(1, MAX_FITTED // len(samples))
    weights = np.concatenate(_person_weights(samples, count))
    errors = np.concatenate([one.errors[:count] for one in samples])
    target = np.log(np.maximum(errors, LOWEST_ERROR)).astype(np.float64)
    knots: dict[Feature, Floats] = {}
    ramps = [np.ones((len(target), 1))]
    for name in samples[0].features:
        values = np.concatenate([one.features[name][:count] for one in samples]).astype(np.float64)
        places = np.unique(np.round(np.quantile(values, KNOTS), DIGITS))
        if len(places) > 1:
            knots[name] = places
            ramps.append(np.clip((values[:, None] - places[:-1]) / np.diff(places), 0, 1))
    rises = _quantile_regression(np.concatenate(ramps, axis=1), target, weights / weights.sum(), MAP_LEVEL)
    parts = np.split(rises[1:], np.cumsum([len(places) - 1 for places in knots.values()])[:-1]) if knots else []
    terms = tuple(
        ErrorTerm(
            feature=name,
            knots=tuple(places.tolist()),
            values=tuple(_rounded(value) for value in np.cumsum([0.0, *part])),
        )
        for (name, places), part in zip(knots.items(), parts, strict=True)
    )
    return ErrorIntervals(
        intercept=_rounded(rises[0]),
        terms=terms,
        scales=(LevelScale(MAP_LEVEL, 1.0),),
        subjects=tuple(sorted({one.subject for one in samples})),
        volumes=tuple(one.volume for one in samples),
    )


def _quantile_regression(design: Floats, target: Floats, weights: Floats, level: float) -> Floats:
    """Return the coefficients of a conditional quantile; all but the first are not negative."""
    coefficients = np.full(design.shape[1], 0.1)
    coefficients[0] = np.quantile(target, level) - 0.05 * (design.shape[1] - 1)
    bounds = [(None, None), *[(0, None)] * (design.shape[1] - 1)]
    for bandwidth in BANDWIDTHS:

        def loss(values: Floats, bandwidth: float = bandwidth) -> tuple[float, Floats]:
            residual = target - design @ values
            size = np.abs(residual)
            smooth = np.where(size < bandwidth, (residual**2 / bandwidth + bandwidth) / 2, size)
            slope = level - 0.5 + np.clip(residual / bandwidth, -1, 1) / 2
            return float(weights @ ((level - 0.5) * residual + smooth / 2)), -(design.T @ (weights * slope))

        options = {"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-7}
        coefficients = minimize(loss, coefficients, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return coefficients


def _person_weights(samples: Sequence[ErrorSample], count: int | None = None) -> list[Floats]:
    """Return the weights of the first `count` voxels of every volume; those of every person add up to 1."""
    volumes = Counter(one.subject for one in samples)
    sizes = [len(one.errors[:count]) for one in samples]
    return [np.full(size, 1 / (size * volumes[one.subject])) for size, one in zip(sizes, samples, strict=True)]


def _quantile(values: Floats, weights: Floats, level: float) -> float:
    """Return the smallest value at which the share of the weights reaches a level."""
    order = np.argsort(values, kind="stable")
    shares = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(shares, level * shares[-1])])


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
