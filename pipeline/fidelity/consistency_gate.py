"""The consistency gate: does a restored volume, degraded again, agree with what was measured within its noise?

No reference is needed. The restored volume x is degraded again by the recorded operator A. What the measurement has
more, or less, than the noise model expects of A x is divided by the noise's standard deviation at that intensity. Were
A x the noiseless image, these residuals would be independent, of mean zero and variance one. Four gates look at them:

- `residual`: the power that is left where there is signal, over that of the noise: a wrong output leaves more.
- `local`: their weighted sum in windows of lesion size, as a matched filter, in standard deviations of the noise: a
  lesion that was added or removed stands out in one place.
- `shift`: the displacement that explains them best by least squares, in high-resolution voxels.
- `intensity`: their mean at the intensity where it is furthest from zero, as a fraction of the range, taken where the
  image is flat, since blur changes none there: a changed gamma, gain or offset bends that curve.

Two things may be shown honestly: the signal, or the mean of the noisy magnitude, which lies above it in the dark. A
residual counts only as far as it contradicts both.

An honest output is not perfect. Errors of A x up to `TOLERANCE` of the range and shifts up to
`SHIFT_TOLERANCE` are allowed to every output. Beyond that, a limit is what noise alone exceeds once in a thousand
volumes: the measurement is drawn anew from A x by the noise model, `DRAWS` times, and a Gumbel distribution (the one of
maxima) is fitted to what the gate finds in these draws.

What the operator wipes out, no gate can see: detail below the resolution of the measurement leaves no trace in it.
Whether such detail is right shows only beside a reference, see `pipeline.fidelity.ledger`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.physics.data_consistency import degraded_again
from pipeline.physics.forward import ForwardModel

GATE_NAMES = ("residual", "local", "shift", "intensity")

TOLERANCE = 0.02
"""Error of a restored volume, degraded again, that is no contradiction, as a fraction of the normalised range: as the
root of its mean square, and as the mean in any window and at any intensity. Measured on outputs that were not tampered
with, see docs/fidelity.md."""
SHIFT_TOLERANCE = 0.25
"""Shift that is none, in high-resolution voxels: half of the smallest that the gate is made to catch."""
WINDOWS = (0.75, 1.25, 2.0)
"""Standard deviations of the Gaussian windows, in the largest spacing of the measurement: lesions of two to six voxels
across."""
REACH = 4.0
"""Standard deviations after which a window ends."""
SMOOTHING = 1.0
"""Standard deviation of the Gaussian, in voxels of a slice, before a shift is looked for: noise has no gradient."""
SLOPE_VOXELS = 3
"""Fewest voxels along an axis along which a shift is looked for."""
BINS = 10
"""Intensities at which the mean residual is taken, each with as many voxels."""
BIN_VOXELS = 50
"""Fewest voxels of a bin."""
FLAT = 0.5
"""Share of the voxels with signal, those with the smallest gradient, over which intensities are compared."""
DRAWS = 16
"""Measurements that are drawn anew to learn what noise alone does."""
FALSE_ALARMS = 1e-3
"""Share of volumes on which noise alone exceeds the limit of one gate."""
MIN_DEVIATION = 1e-3
"""Standard deviation that a measurement without noise counts as having."""
SEED = 2
"""Told to the random generator with a volume's seed, so that the draws are other ones than the measurement's noise."""

Windows = tuple[tuple[float, ...], ...]
"""Standard deviations along each axis, in low-resolution voxels; 0 looks at one slice alone."""


class Check(NamedTuple):
    """What one gate found.

    Attributes:
        gate: one of `GATE_NAMES`.
        value: what it measured.
        limit: the most that it lets pass.
    """

    gate: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the output passes; one that holds numbers that are none does not."""
        return bool(self.value <= self.limit)


@dataclass(frozen=True)
class Residuals:
    """What a measurement says against a restored volume; all arrays are of the measurement's shape, float64.

    Attributes:
        measured: the measurement, normalised.
        again: the restored volume, degraded again without noise.
        expected: the mean of what is measured where `again` is the noiseless image.
        deviation: the standard deviation there.
        support: where the measurement shows signal.
    """

    measured: NDArray[np.float64]
    again: NDArray[np.float64]
    expected: NDArray[np.float64]
    deviation: NDArray[np.float64]
    support: NDArray[np.bool_]

    @cached_property
    def above(self) -> NDArray[np.float64]:
        """By how many standard deviations the measurement exceeds all that the output may stand for."""
        return (self.measured - np.maximum(self.expected, self.again)) / self.deviation

    @cached_property
    def below(self) -> NDArray[np.float64]:
        """By how many standard deviations it falls short of all that the output may stand for."""
        return (np.minimum(self.expected, self.again) - self.measured) / self.deviation


def judge(
    restored: NDArray[np.floating],
    measured: NDArray[np.floating],
    model: ForwardModel,
    windows: Windows,
    *,
    neighbours: bool = True,
) -> list[Check]:
    """Judge a restored volume by what was measured.

    Args:
        restored: normalised intensities, of shape model.hr_shape.
        measured: the measurement, normalised, of shape model.lr_shape.
        model: how the measurement came about, with the strength of its noise.
        windows: see `windows_of`.
        neighbours: whether slices that follow each other show neighbouring places; otherwise shifts are looked for
            within the slices alone.

    Returns:
        One check a gate, in the order of `GATE_NAMES`; a volume that holds numbers that are none passes none.
    """
    found = residuals(restored, measured, model)
    if not np.isfinite(found.again).all():
        return [Check(gate, math.nan, math.nan) for gate in GATE_NAMES]
    statistics = Statistics(found, model, windows, neighbours)
    by_chance = limits(np.array([statistics.of(one) for one in _draws(found, model)]))
    allowed = (TOLERANCE**2 / statistics.noise_power, 0.0, SHIFT_TOLERANCE, TOLERANCE)
    values = statistics.of(found, TOLERANCE)
    return [
        Check(gate, float(value), float(chance + tolerance))
        for gate, value, chance, tolerance in zip(GATE_NAMES, values, by_chance, allowed, strict=True)
    ]


def residuals(restored: NDArray[np.floating], measured: NDArray[np.floating], model: ForwardModel) -> Residuals:
    """Compare a restored volume, degraded again, with the measurement; arguments as in `judge`."""
    again = degraded_again(np.asarray(restored, dtype=np.float32), model)
    deviation = np.maximum(model.standard_deviation(again), MIN_DEVIATION)
    expected = np.asarray(model.expected_value(again), dtype=np.float64)
    image = np.asarray(measured, dtype=np.float64)
    return Residuals(image, again, expected, deviation, _support(image, model))


def windows_of(spacing: Sequence[float], slice_axis: int, *, connected: bool) -> Windows:
    """Return the windows of the gate `local`.

    Args:
        spacing: distance of low-resolution voxels along each axis.
        slice_axis: axis along which the slices follow each other.
        connected: windows reach across the slices as far as within them, as lesions of a head do; otherwise every
            slice is looked at by itself, as befits sections and pictures.
    """
    inside = [length for axis, length in enumerate(spacing) if connected or axis != slice_axis]
    relative = [max(inside) / length if connected or axis != slice_axis else 0.0 for axis, length in enumerate(spacing)]
    return tuple(tuple(size * scale for scale in relative) for size in WINDOWS)


class Statistics:
    """Computes what the gates measure; what all draws of the noise share is computed once.

    Args:
        found: residuals whose degraded volume, support and standard deviation the draws share.
        model: the forward model.
        windows: see `windows_of`.
        neighbours: see `judge`.
    """

    def __init__(self, found: Residuals, model: ForwardModel, windows: Windows, neighbours: bool = True) -> None:
        self._apart = None if neighbours else model.slice_axis
        self._factors = np.array(model.factors, dtype=np.float64)
        self._windows = windows
        self._support = found.support
        self._smoothing = [0.0 if axis == model.slice_axis else SMOOTHING for axis in range(found.again.ndim)]
        self._axes, self._columns = self._explanations(found.expected)
        self._normal = self._columns @ self._columns.T
        self._bins = self._flat_bins(found.again)
        self.noise_power = float(np.mean(found.deviation[found.support] ** 2))

    def of(self, found: Residuals, tolerance: float = 0.0) -> tuple[float, float, float, float]:
        """Return the values of all gates, in the order of `GATE_NAMES`; the tolerance is that of `local`."""
        return (
            power(found) / self.noise_power,
            float(contradictions(found, self._windows, tolerance).max()),
            float(np.abs(self.shift(found)).max(initial=0.0)),
            float(self.intensities(found).max()),
        )

    def intensities(self, found: Residuals) -> NDArray[np.float64]:
        """Return how far the mean of the measurement is from what the output may stand for, by rising intensity."""
        surplus = [(side * found.deviation).ravel() for side in (found.above, found.below)]
        means = [[np.mean(side[one]) for one in self._bins] for side in surplus]
        return np.maximum(np.max(means, axis=0), 0)

    def shift(self, found: Residuals) -> NDArray[np.float64]:
        """Return the displacement of the restored volume along the axes, in high-resolution voxels."""
        residual = ndimage.gaussian_filter(found.measured - found.expected, self._smoothing)
        # By the pseudo-inverse: where an image is the same along an axis, nothing tells how far it was shifted there.
        weights = np.linalg.pinv(self._normal, hermitian=True) @ (self._columns @ residual[self._support])
        return weights[: len(self._axes)] * self._factors[self._axes]

    def _explanations(self, expected: NDArray[np.float64]) -> tuple[list[int], NDArray[np.float64]]:
        """Return the axes along which shifts can be seen, and what shifts and a change of intensity would leave.

        To first order, an image that lies d too far along an axis lacks d times its derivative. Gain, offset and
        gamma are fitted beside the shifts, so that none is taken for another.
        """
        smooth = ndimage.gaussian_filter(expected, self._smoothing)
        axes = [axis for axis, size in enumerate(smooth.shape) if size >= SLOPE_VOXELS and axis != self._apart]
        slopes = [np.gradient(smooth, axis=axis)[self._support] for axis in axes]
        level = smooth[self._support]
        return axes, np.stack([*slopes, np.ones_like(level), level, level**2])

    def _flat_bins(self, again: NDArray[np.float64]) -> list[NDArray[np.intp]]:
        """Return flat indices of voxels of like intensity, by rising intensity, where the image changes least.

        An output that holds a part of the measurement's noise is bright where the noise is positive, and so is what is
        left of the noise. Were its own intensities to order the voxels, it would seem too dark where it is bright.
        """
        steepness = np.square(self._columns[: len(self._axes)]).sum(axis=0)
        flat = np.zeros(again.shape)
        flat[self._support] = steepness <= np.quantile(steepness, FLAT)
        # The mean over flat neighbours alone, so that no intensity reaches across an edge.
        sums, counts = (ndimage.gaussian_filter(one, self._smoothing) for one in (again * flat, flat))
        places = np.flatnonzero(flat)
        ordered = places[np.argsort(sums.ravel()[places] / counts.ravel()[places], kind="stable")]
        return np.array_split(ordered, max(1, min(BINS, places.size // BIN_VOXELS)))


def power(found: Residuals) -> float:
    """Return the mean square of what is left where there is signal, by the better of the two readings."""
    image, readings = found.measured[found.support], (found.expected[found.support], found.again[found.support])
    return min(float(np.mean((image - reading) ** 2)) for reading in readings)


def contradictions(found: Residuals, windows: Windows, tolerance: float = TOLERANCE) -> NDArray[np.float64]:
    """Return a map of how strongly the measurement contradicts the output around every voxel.

    Args:
        found: the residuals.
        windows: see `windows_of`.
        tolerance: constant error within a window that is allowed, as a fraction of the normalised range.

    Returns:
        In standard deviations of the noise, the most of all windows around a voxel, 0 where there is no contradiction;
        float64, of the shape of the measurement.
    """
    strongest = np.zeros(found.measured.shape)
    for window in windows:
        allowed = tolerance * matched(1 / found.deviation, window) if tolerance else 0.0
        for surplus in (found.above, found.below):
            strongest = np.maximum(strongest, matched(surplus, window) - allowed)
    return strongest


def matched(residual: NDArray[np.float64], window: Sequence[float]) -> NDArray[np.float64]:
    """Return sums over a Gaussian window around every voxel, scaled so that white noise keeps its variance.

    Windows are cut off at the border of the volume, and scaled by what is left of them.
    """
    result = residual
    for axis, scale in enumerate(window):
        if scale:
            places = np.arange(-math.ceil(REACH * scale), math.ceil(REACH * scale) + 1)
            kernel = np.exp(-np.square(places / scale) / 2)
            result = ndimage.correlate1d(result, kernel, axis, mode="constant")
            left = ndimage.correlate1d(np.ones(result.shape[axis]), kernel**2, mode="constant")
            result = result / np.sqrt(left).reshape([-1 if one == axis else 1 for one in range(result.ndim)])
    return result


def limits(by_chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is exceeded with the probability `FALSE_ALARMS`, by Gumbel distributions with the draws' moments.

    Args:
        by_chance: values of every gate in draws of noise alone, shape (draws, gates).
    """
    quantile = -math.log(-math.log1p(-FALSE_ALARMS))
    spread = by_chance.std(axis=0, ddof=1) * math.sqrt(6) / math.pi
    return by_chance.mean(axis=0) + spread * (quantile - np.euler_gamma)


def _draws(found: Residuals, model: ForwardModel) -> Iterator[Residuals]:
    """What the gates would see if the restored volume were right: measurements of it that are drawn anew."""
    generator = np.random.default_rng([model.seed, SEED])
    noiseless = found.again.astype(np.float32)
    for _ in range(DRAWS):
        yield replace(found, measured=model.add_noise(noiseless, generator).astype(np.float64))


def _support(measured: NDArray[np.float64], model: ForwardModel) -> NDArray[np.bool_]:
    """Where the measurement, a little smoothed, exceeds what noise alone shows; everywhere where it never does."""
    dark = np.zeros(measured.shape)
    most = model.expected_value(dark) + model.standard_deviation(dark)
    scales = [0.0 if axis == model.slice_axis else SMOOTHING for axis in range(measured.ndim)]
    found = ndimage.gaussian_filter(measured, scales) > most
    return found if found.any() else np.ones(measured.shape, dtype=bool)
