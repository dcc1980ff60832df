"""Test statistics of the consistency gate and their limits, on arrays.

No reference is needed. The restored volume x is degraded again by the recorded operator A. The difference between the
measurement and the value that the noise model expects for A x is divided by the standard deviation of the noise at that
intensity. If A x were the noiseless image, these residuals would be independent with mean zero and variance one. Four
gates test this:

- `residual`: power of the residuals where there is signal, relative to that of the noise: a wrong output increases it.
- `local`: weighted sum of the residuals in windows of lesion size (a matched filter), in standard deviations of the
  noise: it peaks where a lesion was added or removed.
- `shift`: displacement that explains the residuals best by least squares, in high-resolution voxels.
- `intensity`: mean residual at the intensity where it deviates most from zero, as a fraction of the range, over flat
  regions, since blur changes no intensity there: a changed gamma, gain or offset bends the curve of these means.

A correct output may estimate the signal, or the mean of the noisy magnitude, which is higher at low signal. A residual
counts only as far as it contradicts both.

A correct output is not exact. Errors of A x up to `TOLERANCE` of the range and shifts up to `SHIFT_TOLERANCE` are
allowed for every output. Beyond that, a limit is the value that noise alone exceeds in one of a thousand volumes:
`DRAWS` measurements are drawn from A x by the noise model, and a Gumbel distribution (that of maxima) is fitted to the
statistics of these draws.

Components in the null space of the operator cannot be tested: detail below the resolution of the measurement does not
change it. Such detail can be assessed only with a reference, see `pipeline.metrics.evaluation.detail_ledger`.
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

from pipeline.physics.data_consistency import degrade_again
from pipeline.physics.forward import ForwardModel

GATE_NAMES = ("residual", "local", "shift", "intensity")

TOLERANCE = 0.02
"""Allowed error of the degraded output, as a fraction of the normalised range: as root mean square, and as the mean in
any window and at any intensity. Measured on unmodified outputs, see docs/fidelity.md."""
SHIFT_TOLERANCE = 0.25
"""Allowed shift in high-resolution voxels: half of the smallest shift that the gate is designed to detect."""
WINDOWS = (0.75, 1.25, 2.0)
"""Standard deviations of the Gaussian windows, in units of the largest voxel spacing of the measurement: for lesions
with diameters of two to six voxels."""
TRUNCATION = 4.0
"""Radius of a window in standard deviations."""
SMOOTHING = 1.0
"""Standard deviation of the Gaussian filter, in voxels within a slice, before gradients are computed."""
MIN_GRADIENT_VOXELS = 3
"""Minimum number of voxels along an axis for which a shift is estimated."""
BINS = 10
"""Number of intensity bins, each with equally many voxels."""
MIN_BIN_VOXELS = 50
"""Minimum number of voxels in a bin."""
FLAT_FRACTION = 0.5
"""Fraction of the voxels with signal, those with the smallest gradient, over which intensities are compared."""
DRAWS = 16
"""Number of Monte Carlo draws of the measurement."""
FALSE_ALARM_RATE = 1e-3
"""Fraction of volumes in which noise alone exceeds the limit of a gate."""
MIN_DEVIATION = 1e-3
"""Lower bound of the noise's standard deviation, for measurements without noise."""
SEED = 2
"""Seed offset for the Monte Carlo draws, so that they are independent of the noise of the measurement."""

Windows = tuple[tuple[float, ...], ...]
"""Standard deviations along each axis, in low-resolution voxels; 0 for windows within one slice."""


class Check(NamedTuple):
    """Result of one gate.

    Attributes:
        gate: one of `GATE_NAMES`.
        value: the test statistic.
        limit: maximum of the statistic that passes.
    """

    gate: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the output passes; NaN does not."""
        return bool(self.value <= self.limit)


@dataclass(frozen=True)
class Residuals:
    """Comparison of a measurement with a degraded output; all arrays have the shape of the measurement, float64.

    Attributes:
        measured: the measurement, normalised.
        degraded: the restored volume, degraded again without noise.
        expected: expected value of the measurement if `degraded` is the noiseless image.
        deviation: its standard deviation.
        support: voxels of the measurement with signal.
    """

    measured: NDArray[np.float64]
    degraded: NDArray[np.float64]
    expected: NDArray[np.float64]
    deviation: NDArray[np.float64]
    support: NDArray[np.bool_]

    @cached_property
    def above(self) -> NDArray[np.float64]:
        """Excess of the measurement over both interpretations of the output, in standard deviations."""
        return (self.measured - np.maximum(self.expected, self.degraded)) / self.deviation

    @cached_property
    def below(self) -> NDArray[np.float64]:
        """Deficit of the measurement under both interpretations of the output, in standard deviations."""
        return (np.minimum(self.expected, self.degraded) - self.measured) / self.deviation


def check_consistency(
    restored: NDArray[np.floating],
    measured: NDArray[np.floating],
    model: ForwardModel,
    windows: Windows,
    *,
    adjacent: bool = True,
) -> list[Check]:
    """Apply the gates to a restored volume.

    Args:
        restored: normalised intensities, of shape model.hr_shape.
        measured: the LR input, normalised, of shape model.lr_shape.
        model: forward model of the LR input, with its noise level.
        windows: see `window_sizes`.
        adjacent: whether consecutive slices are spatially adjacent; otherwise shifts are estimated within slices only.

    Returns:
        One check per gate, in the order of `GATE_NAMES`; none passes if the degraded volume is not finite.
    """
    return check_residuals(residuals(restored, measured, model), model, windows, adjacent=adjacent)


def check_residuals(found: Residuals, model: ForwardModel, windows: Windows, *, adjacent: bool = True) -> list[Check]:
    """Apply the gates to residuals; other arguments and result as in `check_consistency`."""
    if not np.isfinite(found.degraded).all():
        return [Check(gate, math.nan, math.nan) for gate in GATE_NAMES]
    statistics = GateStatistics(found, model, windows, adjacent)
    limits = gumbel_limits(np.array([statistics.compute(draw) for draw in noise_draws(found, model)]))
    allowed = (TOLERANCE**2 / statistics.noise_power, 0.0, SHIFT_TOLERANCE, TOLERANCE)
    values = statistics.compute(found, TOLERANCE)
    return [
        Check(gate, float(value), float(limit + tolerance))
        for gate, value, limit, tolerance in zip(GATE_NAMES, values, limits, allowed, strict=True)
    ]


def residuals(restored: NDArray[np.floating], measured: NDArray[np.floating], model: ForwardModel) -> Residuals:
    """Compare a restored volume, degraded again, with the LR input; arguments as in `check_consistency`."""
    degraded = degrade_again(np.asarray(restored, dtype=np.float32), model)
    deviation = np.maximum(model.standard_deviation(degraded), MIN_DEVIATION)
    expected = np.asarray(model.expected_value(degraded), dtype=np.float64)
    image = np.asarray(measured, dtype=np.float64)
    return Residuals(image, degraded, expected, deviation, signal_support(image, model))


def window_sizes(spacing: Sequence[float], slice_axis: int, *, across_slices: bool) -> Windows:
    """Return the windows of the gate `local`.

    Args:
        spacing: low-resolution voxel spacing along each axis.
        slice_axis: axis along which the slices follow each other.
        across_slices: whether windows extend across slices, as lesions of a head do; otherwise each slice is tested
            separately, as for sections and pictures.
    """
    axes = [axis for axis in range(len(spacing)) if across_slices or axis != slice_axis]
    largest = max(spacing[axis] for axis in axes)
    relative = [largest / length if axis in axes else 0.0 for axis, length in enumerate(spacing)]
    return tuple(tuple(size * scale for scale in relative) for size in WINDOWS)


class GateStatistics:
    """The test statistics of all gates; intermediate results that all draws of the noise share are computed once.

    Args:
        found: residuals whose degraded volume, support and standard deviation the draws share.
        model: the forward model.
        windows: see `window_sizes`.
        adjacent: see `check_consistency`.
    """

    def __init__(self, found: Residuals, model: ForwardModel, windows: Windows, adjacent: bool = True) -> None:
        self._excluded_axis = None if adjacent else model.slice_axis
        self._factors = np.array(model.factors, dtype=np.float64)
        self._windows = windows
        self._support = found.support
        self._smoothing = [0.0 if axis == model.slice_axis else SMOOTHING for axis in range(found.degraded.ndim)]
        self._axes, self._regressors = self._design_matrix(found.expected)
        self._normal_matrix = self._regressors @ self._regressors.T
        self._bins = self._flat_bins(found.degraded)
        self.noise_power = float(np.mean(found.deviation[found.support] ** 2))

    def compute(self, found: Residuals, tolerance: float = 0.0) -> tuple[float, float, float, float]:
        """Return the statistics in the order of `GATE_NAMES`; `tolerance` is that of the gate `local`."""
        return (
            residual_power(found) / self.noise_power,
            float(local_statistic(found, self._windows, tolerance).max()),
            float(np.abs(self.shift(found)).max(initial=0.0)),
            float(self.intensity_deviations(found).max()),
        )

    def intensity_deviations(self, found: Residuals) -> NDArray[np.float64]:
        """Return the deviation of the mean measurement from both interpretations of the output, by intensity bin."""
        excess = [(side * found.deviation).ravel() for side in (found.above, found.below)]
        means = [[np.mean(side[voxels]) for voxels in self._bins] for side in excess]
        return np.maximum(np.max(means, axis=0), 0)

    def shift(self, found: Residuals) -> NDArray[np.float64]:
        """Return the displacement of the restored volume along the axes, in high-resolution voxels."""
        residual = ndimage.gaussian_filter(found.measured - found.expected, self._smoothing)
        # Pseudo-inverse: where the image is constant along an axis, the shift along it is undetermined.
        inverse = np.linalg.pinv(self._normal_matrix, hermitian=True)
        weights = inverse @ (self._regressors @ residual[self._support])
        return weights[: len(self._axes)] * self._factors[self._axes]

    def _design_matrix(self, expected: NDArray[np.float64]) -> tuple[list[int], NDArray[np.float64]]:
        """Return the axes along which shifts can be estimated, and the regressors of the residual.

        To first order, an image that is displaced by d along an axis differs by d times its derivative. Gain, offset
        and gamma are fitted together with the shifts, so that they are not mistaken for each other.
        """
        smooth = ndimage.gaussian_filter(expected, self._smoothing)
        axes = [
            axis
            for axis, size in enumerate(smooth.shape)
            if size >= MIN_GRADIENT_VOXELS and axis != self._excluded_axis
        ]
        gradients = [np.gradient(smooth, axis=axis)[self._support] for axis in axes]
        level = smooth[self._support]
        return axes, np.stack([*gradients, np.ones_like(level), level, level**2])

    def _flat_bins(self, degraded: NDArray[np.float64]) -> list[NDArray[np.intp]]:
        """Return flat indices of voxels with similar intensity, by rising intensity, in the flattest regions.

        Voxels are ordered by the mean over their neighbours. An output that contains some of the measurement's noise is
        bright where the noise is positive, and so is the residual: ordered by their own intensities, bright voxels
        would seem too dark.
        """
        steepness = np.square(self._regressors[: len(self._axes)]).sum(axis=0)
        flat = np.zeros(degraded.shape)
        flat[self._support] = steepness <= np.quantile(steepness, FLAT_FRACTION)
        # Normalised by the flat neighbours, so that no intensity is averaged across an edge.
        sums, counts = (ndimage.gaussian_filter(one, self._smoothing) for one in (degraded * flat, flat))
        voxels = np.flatnonzero(flat)
        ordered = voxels[np.argsort(sums.ravel()[voxels] / counts.ravel()[voxels], kind="stable")]
        return np.array_split(ordered, max(1, min(BINS, voxels.size // MIN_BIN_VOXELS)))


def residual_power(found: Residuals) -> float:
    """Return the mean square of the residual where there is signal, for the better interpretation of the output."""
    image = found.measured[found.support]
    interpretations = (found.expected[found.support], found.degraded[found.support])
    return min(float(np.mean((image - expected) ** 2)) for expected in interpretations)


def local_statistic(found: Residuals, windows: Windows, tolerance: float = TOLERANCE) -> NDArray[np.float64]:
    """Return the map of the statistic of the gate `local`.

    Args:
        found: the residuals.
        windows: see `window_sizes`.
        tolerance: allowed constant error within a window, as a fraction of the normalised range.

    Returns:
        Maximum over all windows around a voxel in standard deviations of the noise, 0 where there is no contradiction;
        float64, of the shape of the measurement.
    """
    largest = np.zeros(found.measured.shape)
    for window in windows:
        allowed = tolerance * matched_filter(1 / found.deviation, window) if tolerance else 0.0
        for excess in (found.above, found.below):
            largest = np.maximum(largest, matched_filter(excess, window) - allowed)
    return largest


def matched_filter(residual: NDArray[np.float64], window: Sequence[float]) -> NDArray[np.float64]:
    """Return sums over a Gaussian window around every voxel, scaled so that white noise keeps its variance.

    Windows are truncated at the border of the volume and rescaled there.
    """
    result = residual
    for axis, scale in enumerate(window):
        if scale:
            offsets = np.arange(-math.ceil(TRUNCATION * scale), math.ceil(TRUNCATION * scale) + 1)
            kernel = np.exp(-np.square(offsets / scale) / 2)
            result = ndimage.correlate1d(result, kernel, axis, mode="constant")
            power = ndimage.correlate1d(np.ones(result.shape[axis]), kernel**2, mode="constant")
            result = result / np.sqrt(power).reshape([-1 if one == axis else 1 for one in range(result.ndim)])
    return result


def gumbel_limits(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quantiles that noise exceeds with `FALSE_ALARM_RATE`, of Gumbel distributions fitted by moments.

    Args:
        draws: statistics of the Monte Carlo draws, shape (draws, gates).
    """
    quantile = -math.log(-math.log1p(-FALSE_ALARM_RATE))
    scale = draws.std(axis=0, ddof=1) * math.sqrt(6) / math.pi
    return draws.mean(axis=0) + scale * (quantile - np.euler_gamma)


def noise_draws(found: Residuals, model: ForwardModel) -> Iterator[Residuals]:
    """Yield residuals of simulated measurements of the degraded output, as if it were correct."""
    generator = np.random.default_rng([model.seed, SEED])
    noiseless = found.degraded.astype(np.float32)
    for _ in range(DRAWS):
        yield replace(found, measured=model.add_noise(noiseless, generator).astype(np.float64))


def signal_support(measured: NDArray[np.float64], model: ForwardModel) -> NDArray[np.bool_]:
    """Return where the smoothed measurement exceeds the noise floor; all voxels if it never does."""
    dark = np.zeros(measured.shape)
    floor = model.expected_value(dark) + model.standard_deviation(dark)
    scales = [0.0 if axis == model.slice_axis else SMOOTHING for axis in range(measured.ndim)]
    found = ndimage.gaussian_filter(measured, scales) > floor
    return found if found.any() else np.ones(measured.shape, dtype=bool)
