"""Half-width of the prediction interval of every voxel, from features that need no reference.

- tta_std: standard deviation over test-time augmentation (TTA), and tta_std_nearby, its local root mean square;
- fine_detail and coarse_detail: local standard deviations of the restored image at two scales;
- added_detail: local root mean square of the restored image minus the cubic B-spline interpolation of its input. It
  contains the noise that was removed, and thus depends on the noise level.

Local means are Gaussian, along the enlarged axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.image.smoothing import gaussian
from pipeline.models.error_intervals import MAP_LEVEL, ErrorIntervals, Feature
from pipeline.physics.interpolation import bspline_matrix, enlarge

FINE, MIDDLE, COARSE = 0.25, 0.5, 1.5
"""Standard deviations of local means, in low-resolution voxels."""
FLOOR = 1e-3
"""Lower bound of features, as a fraction of the normalised range."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class UncertaintyKind:
    """Quantity of an uncertainty map.

    Attributes:
        intervals: calibrated for the network: the map is the half-width of their 90 % prediction interval. None where
            nothing was calibrated: the map is the TTA standard deviation.
    """

    intervals: ErrorIntervals | None

    @property
    def description(self) -> str:
        """Quantity in words."""
        if self.intervals is None:
            return "TTA standard deviation, not calibrated as an error"
        persons = len(self.intervals.subjects)
        count = f"{persons} validation {'person' if persons == 1 else 'persons'}"
        return f"half-width of the {100 * MAP_LEVEL:.0f} % prediction interval, calibrated on {count}"

    def of(self, restored: Floats, lr: Floats, tta_std: Floats, factors: Sequence[float]) -> NDArray[np.float32]:
        """Compute the uncertainty map of a volume or slice.

        Args:
            restored: restored volume or slice, normalised, of the padded shape (`pipeline.physics.grid.padded_shape`).
            lr: its low-resolution input, normalised.
            tta_std: TTA standard deviation, of the shape of `restored`.
            factors: enlargement along each axis.

        Returns:
            The map as fractions of the normalised range, of the shape of `restored`.
        """
        if self.intervals is None:
            return np.asarray(tta_std, dtype=np.float32)
        features = log_features(restored, enlarge(lr, factors, bspline_matrix), tta_std, factors)
        scale = self.intervals.scale(MAP_LEVEL)
        return np.asarray(scale * unscaled_half_width(self.intervals, features), dtype=np.float32)


def unscaled_half_width(intervals: ErrorIntervals, features: Iterable[tuple[Feature, Floats]]) -> Floats:
    """Return the modelled half-width before it is scaled to a level.

    Args:
        intervals: model of the half-width.
        features: names and values of `log_features`, all of one shape.
    """
    terms = {term.feature: term for term in intervals.terms}
    total: Floats | float = intervals.intercept
    for name, values in features:
        shape = values.shape
        if name in terms:
            total = total + np.interp(values, terms[name].knots, terms[name].values)
        elif np.ndim(total) == 0:
            total = np.full(shape, total)
    return np.exp(total)


def log_features(
    restored: Floats, interpolated: Floats, tta_std: Floats, factors: Sequence[float]
) -> Iterator[tuple[Feature, NDArray[np.float32]]]:
    """Yield name and logarithm of every feature, one at a time.

    Args:
        restored: restored volume or slice, normalised.
        interpolated: cubic B-spline interpolation of its low-resolution input, of the same shape.
        tta_std: TTA standard deviation, of the same shape.
        factors: enlargement along each axis.
    """
    axes = [axis for axis, factor in enumerate(factors) if factor > 1] or list(range(restored.ndim))
    voxel = max(factors)

    def mean(values: Floats, scale: float) -> Floats:
        return gaussian(values, scale * voxel, axes)

    def rms(values: Floats) -> Floats:
        return np.sqrt(mean(np.square(values), MIDDLE))

    def deviation(scale: float) -> Floats:
        return np.sqrt(np.maximum(mean(np.square(restored), scale) - np.square(mean(restored, scale)), 0))

    yield "tta_std", _log(tta_std)
    yield "tta_std_nearby", _log(rms(tta_std))
    yield "fine_detail", _log(deviation(FINE))
    yield "coarse_detail", _log(deviation(COARSE))
    yield "added_detail", _log(rms(restored - interpolated))


def _log(values: Floats) -> NDArray[np.float32]:
    return np.log(np.maximum(values, FLOOR), dtype=np.float32)
