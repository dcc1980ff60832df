"""Estimate the noise level of an image from the image alone.

The background of magnitude images contains only noise with a Rayleigh distribution, whose standard deviation gives
sigma (Gudbjartsson and Patz, Magnetic Resonance in Medicine 34:910-914, 1995). Without background, sigma is estimated
from the diagonal wavelet coefficients of flat regions (Donoho and Johnstone, Biometrika 81:425-455, 1994).

Both methods use the quietest part of the image. Selecting the quietest values themselves would underestimate the
noise, so voxels are selected by their neighbours: white noise is independent between neighbouring voxels.

Voxels without a measurement (masks, padding, saturation, burnt-in text) must not count as quiet. They are detected as
constant blocks of any value. In integer images whose noise is below the rounding step, such blocks also occur by
chance; where most of the image consists of them, they are kept and the noise of the rounded image is estimated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline import plugins
from pipeline.config.parameters import PhysicalParameters
from pipeline.errors import UserError

NOISES = "pipeline.physics.noise"

BACKGROUND_SHARE = 0.02
"""Fraction of all voxels, those with the darkest neighbours, that is used as background."""
FLAT_SHARE = 0.05
"""Fraction of the wavelet details, those with the quietest neighbours, that is considered flat."""
MIN_COUNT = 400
"""Minimum number of values; a larger fraction of a small image is used to reach it. The second moment of this many
values gives sigma to within 2.5 %."""
MAX_SHARE = 0.1
"""Maximum fraction that is used in small images."""
BACKGROUND_REACH = 2
"""Maximum distance between a voxel and its neighbours along both axes of its slice."""
FLAT_REACH = 1
"""The same for wavelet details, in steps of their coarser grid."""
RAYLEIGH_STD = math.sqrt(2 - math.pi / 2)
"""Standard deviation of the Rayleigh distribution divided by sigma, 0.655."""
LOWEST_SHARE = 0.05
"""Fraction of the background (its lowest values) whose mean locates the zero of the distribution. Unlike the minimum,
it depends neither on single voxels nor on rounding."""
LOWEST_END = math.sqrt(-2 * math.log1p(-LOWEST_SHARE))
"""Quantile of the Rayleigh distribution that bounds these values, divided by sigma."""
LOWEST_MEAN = (
    math.sqrt(math.pi / 2) * math.erf(LOWEST_END / math.sqrt(2)) - LOWEST_END * (1 - LOWEST_SHARE)
) / LOWEST_SHARE
"""Mean of the Rayleigh distribution below that quantile, divided by sigma, 0.212."""
RAYLEIGH_RATIO = (math.sqrt(math.pi / 2) - LOWEST_MEAN) / RAYLEIGH_STD
"""Mean of all values minus mean of the lowest values of the Rayleigh distribution, divided by its standard deviation:
1.589, independent of an offset. Ringing without noise has a lower ratio, signal a higher one: 2.063 for a normal
distribution."""
RATIO_TOLERANCE = 0.04
"""Maximum relative deviation from this ratio, in addition to sampling error."""
RATIO_STANDARD_ERROR = 0.68
"""Relative standard error of the ratio times the square root of the number of values, determined by simulation."""
OUTLIER_DISTANCE = 8.0
"""Values further from the median than this many times the distance of the third quartile are dropped: 3 in a million of
the Rayleigh distribution, and all hot and dead voxels."""
MAX_STANDARD_ERRORS = 3.0
"""Maximum deviation that is attributed to chance, in standard errors."""
DETAIL_TOLERANCE = 0.2
"""Maximum fraction by which the background noise may exceed the noise estimated from the finest details."""
MEDIAN_STANDARD_ERROR = 1.17
"""Relative standard error of the median magnitude of normal values times the square root of their number."""
MIN_BLOCK_SIDE = 3
"""Side of the smallest block of equal voxels in a slice that is considered unmeasured."""
MIN_COMMON_SHARE = 1e-3
"""Minimum fraction of all voxels that share a value for it to count as a mask or as clipping."""
MIN_STRICT_SHARE = 0.5
"""Minimum fraction of the unmarked windows outside constant blocks; below it, the blocks are attributed to rounding."""

NORMAL_QUARTILE = 0.6744897501960817
"""Median magnitude of the standard normal distribution."""
LOW_PASS = np.array([1 + math.sqrt(3), 3 + math.sqrt(3), 3 - math.sqrt(3), 1 - math.sqrt(3)]) / math.sqrt(32)
"""Daubechies wavelet with four coefficients (Communications on Pure and Applied Mathematics 41:909-996, 1988)."""
HIGH_PASS = LOW_PASS[::-1] * np.array([1, -1, 1, -1])
"""High-pass filter of the pair, which removes constants and ramps."""
WINDOW = np.ones(4)
"""Support of a wavelet coefficient along one axis; windows start at every second voxel."""
RING_SIZE = (2 * FLAT_REACH + 1) ** 2 - 1
"""Number of neighbours of a wavelet detail."""
ITERATIONS = 4
"""Number of fixed-point iterations for noise that grows with the intensity."""
MIN_SIGMA = 1e-4
"""Lower bound of sigma in the model of how noise grows with the intensity."""
MIN_RELATIVE_STD = 0.02
"""Lower bound of the noise of dark details relative to that at intensity 1.0, which limits their weight."""
ROUNDING_ERROR = 1e-9
"""Estimates below this are those of an image without noise, such as a mask, whose wavelet details are rounded."""
MIN_SIDE = 16
"""Minimum number of rows and columns."""


class Estimate(NamedTuple):
    """The noise level of an image.

    Attributes:
        sigma: standard deviation (of one channel for magnitude images) as a fraction of the normalised range.
        method: "background", or "wavelet" where there is no usable background.
    """

    sigma: float
    method: Literal["background", "wavelet"]


class Unmeasured(NamedTuple):
    """Voxels without a measurement, boolean arrays of shape (slice, rows, columns).

    Attributes:
        constant: members of a constant block.
        marked: all voxels with one of these common values: the lowest and the highest value of the image where voxels
            were clipped to them, the lowest and the highest value of constant blocks, and the value of most of the
            other blocks.
        lowest: voxels with the lowest of these values.
    """

    constant: NDArray[np.bool_]
    marked: NDArray[np.bool_]
    lowest: NDArray[np.bool_]


def estimate_sigma(lr: NDArray[np.floating], slice_axis: int, noise: str | PhysicalParameters = "rician") -> Estimate:
    """Estimate the noise level of a volume or a stack of slices.

    Args:
        lr: normalised intensities (0.0 is a low quantile, 1.0 is bright), shape (x, y, z). The noise is assumed to be
            white; the noise of an image that was interpolated after acquisition is therefore misestimated.
        slice_axis: axis perpendicular to the slices.
        noise: noise model, the name of a module of pipeline.physics.noise or its parameters. Only "rician" noise is
            estimated from the background. If the noise grows with the intensity, sigma refers to intensity 1.0.

    Returns:
        Sigma and the method of estimation. Constant areas (masks, padding, saturation, burnt-in text) are skipped. A
        constant image has sigma 0. In integer images, sigma includes the rounding error that the image shows; for
        noise far below the rounding step, the estimate lies anywhere between 0 and the step. Without background, fine
        structure is mistaken for noise: in a coarse image of tissue, sigma is then rarely below 0.01.

    Raises:
        UserError: the slices are too small.
    """
    slices = np.moveaxis(np.asarray(lr, dtype=np.float64), slice_axis, 0)
    if min(slices.shape[1:]) < MIN_SIDE:
        raise UserError(
            f"slices of {slices.shape[1]} x {slices.shape[2]} voxels are too small to estimate their noise; "
            f"at least {MIN_SIDE} voxels along both axes are required. Set the noise level with --noise-sigma (in a "
            "configuration: infer.noise_sigma), or choose another slice plane with --plane (extract.plane)."
        )
    unmeasured = _unmeasured(slices)
    windows = _measured_windows(unmeasured)
    kind = noise if isinstance(noise, str) else noise.name
    module = plugins.load(NOISES, kind)
    if hasattr(module, "relative_std"):
        parameters = module.Parameters() if isinstance(noise, str) else noise
        relative_std = partial(module.relative_std, parameters=parameters)
        return Estimate(_sigma_at_one(slices, windows, relative_std), "wavelet")
    wavelet_sigma = _sigma_of_details(slices, windows)
    if kind != "rician":
        return Estimate(wavelet_sigma, "wavelet")
    background = _without_outliers(_background_values(slices, unmeasured))
    if background.size == 0:
        return Estimate(wavelet_sigma, "wavelet")
    std = float(np.std(background))
    # Dark tissue may have the ratio of the Rayleigh distribution by chance, but is smooth.
    sampling_error = 2 * MEDIAN_STANDARD_ERROR / math.sqrt(_sample_size(FLAT_SHARE, slices.size // 4))
    if _is_rayleigh(background) and std < (1 + DETAIL_TOLERANCE + sampling_error) * wavelet_sigma:
        return Estimate(std / RAYLEIGH_STD, "background")
    # The dark voxels contain more than noise, or no noise. Their standard deviation is an upper bound in both cases.
    return Estimate(min(std / RAYLEIGH_STD, wavelet_sigma), "wavelet")


def _unmeasured(slices: NDArray[np.float64]) -> Unmeasured:
    """Find the voxels without a measurement. Values are compared exactly, since noisy values are rarely equal."""
    blocks = _constant_blocks(slices)
    found = slices[:, 1:-1, 1:-1][blocks]
    values = _clipping_values(slices) | _values_of_blocks(found, math.ceil(MIN_COMMON_SHARE * slices.size))
    constant, marked = (np.zeros(slices.shape, dtype=bool) for _ in range(2))
    if found.size:
        for row, column in np.ndindex(MIN_BLOCK_SIDE, MIN_BLOCK_SIDE):
            constant[:, row : row + blocks.shape[1], column : column + blocks.shape[2]] |= blocks
    for value in values:
        marked |= slices == value
    return Unmeasured(constant, marked, slices == min(values) if values else marked)


def _constant_blocks(slices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask of the inner voxels of the slices that are equal to their eight neighbours."""
    pairs = slices[:, :, 1:] == slices[:, :, :-1]
    rows = pairs[:, :, 1:] & pairs[:, :, :-1]
    below = slices[:, 1:, 1:-1] == slices[:, :-1, 1:-1]
    return rows[:, 2:] & rows[:, 1:-1] & rows[:, :-2] & below[:, 1:] & below[:, :-1]


def _clipping_values(slices: NDArray[np.float64]) -> set[float]:
    """Return the lowest and the highest value, each only if it is common and more frequent than the next value."""
    found = set()
    for end, reduce, worst in ((slices.min(), np.min, np.inf), (slices.max(), np.max, -np.inf)):
        at_end = slices == end
        count = int(np.count_nonzero(at_end))
        if MIN_COMMON_SHARE * slices.size <= count < slices.size:
            following = reduce(slices, where=~at_end, initial=worst)
            if count > np.count_nonzero(slices == following):
                found.add(float(end))
    return found


def _values_of_blocks(values: NDArray[np.float64], min_count: int) -> set[float]:
    """Return the lowest and the highest value, and the value that the majority of the others share.

    Args:
        values: values of voxels in constant blocks.
        min_count: minimum number of equal values; fewer may occur by chance.
    """
    if values.size < min_count:
        return set()
    ends = {float(values.min()), float(values.max())}
    between = values[(values > min(ends)) & (values < max(ends))]
    middle = between.size // 2
    median = {float(np.partition(between, middle)[middle])} if between.size else set()
    majority = {value for value in median if np.count_nonzero(between == value) > middle}
    return {value for value in ends | majority if np.count_nonzero(values == value) >= min_count}


def _measured_windows(unmeasured: Unmeasured) -> NDArray[np.bool_]:
    """Return a mask of the wavelet coefficients that depend on measured voxels only, in the shape of `_details`.

    Next to a clipped area single voxels are clipped too, which reduces the apparent noise, so the neighbours of marked
    coefficients are excluded as well. If most of the image is constant, the constant values are the image itself: a
    phantom, or weak noise that was lost to rounding.
    """
    marked = _windows_with_any(unmeasured.marked)
    if marked.any():
        marked = _dilated(marked, FLAT_REACH)
    strict = ~(marked | _windows_with_any(unmeasured.constant))
    loose = ~marked
    enough = FLAT_SHARE * marked.size
    count = np.count_nonzero(loose)
    if np.count_nonzero(strict) >= max(enough, MIN_STRICT_SHARE * count):
        return strict
    if count >= enough:
        return loose
    above = ~_windows_with_any(unmeasured.lowest)
    return above if np.count_nonzero(above) >= MIN_COMMON_SHARE * above.size else np.ones_like(above)


def _windows_with_any(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask of the wavelet coefficients that depend on at least one flagged voxel."""
    rows, columns = (size // 2 * 2 for size in flags.shape[1:])
    down = flags[:, :rows:2] | flags[:, 1:rows:2]
    down = down[:, :-1] | down[:, 1:]
    across = down[:, :, :columns:2] | down[:, :, 1:columns:2]
    return across[:, :, :-1] | across[:, :, 1:]


def _dilated(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Dilate a mask within each slice by a square of side 2 reach + 1."""
    side = 2 * reach + 1
    return np.asarray(ndimage.maximum_filter(flags, (1, side, side)), dtype=bool)


def _background_values(slices: NDArray[np.float64], unmeasured: Unmeasured) -> NDArray[np.float64]:
    """Return the values of the voxels with the darkest neighbours, or none if too few voxels were measured.

    Voxels with an unmeasured neighbour are excluded, since values next to clipped ones are often clipped.
    """
    count = _sample_size(BACKGROUND_SHARE, slices.size)
    flagged = unmeasured.marked | unmeasured.constant
    measured = ~_dilated(flagged, BACKGROUND_REACH) if flagged.any() else ~flagged
    if np.count_nonzero(measured) < count:
        return np.empty(0)
    power = _mean_of_neighbours(slices**2, BACKGROUND_REACH)
    return _with_quietest_neighbours(slices[measured], power[measured], count)


def _without_outliers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Remove hot and dead voxels, which the selection by neighbours does not exclude."""
    if values.size == 0:
        return values
    median, upper = np.quantile(values, (0.5, 0.75))
    return values[np.abs(values - median) <= OUTLIER_DISTANCE * (upper - median)]


def _is_rayleigh(values: NDArray[np.float64]) -> bool:
    """Return whether values follow a Rayleigh distribution (the magnitude of pure noise) up to an offset."""
    std = float(np.std(values))
    count = math.ceil(LOWEST_SHARE * values.size)
    # Values that were clipped at the lower end are all equal to the lowest one.
    if std == 0 or np.count_nonzero(values == values.min()) > count:
        return False
    lowest = float(np.mean(np.partition(values, count - 1)[:count]))
    ratio = (float(np.mean(values)) - lowest) / std
    sampling_error = MAX_STANDARD_ERRORS * RATIO_STANDARD_ERROR / math.sqrt(values.size)
    return abs(ratio / RAYLEIGH_RATIO - 1) < RATIO_TOLERANCE + sampling_error


def _sigma_at_one(
    slices: NDArray[np.float64], measured: NDArray[np.bool_], relative_std: Callable[..., NDArray[np.float64]]
) -> float:
    """Return sigma at intensity 1.0, with every detail divided by the relative noise at its own intensity."""
    intensity = _details(slices, WINDOW, WINDOW) / WINDOW.size**2
    sigma = _sigma_of_details(slices, measured)
    for _ in range(ITERATIONS):
        # The relative noise depends weakly on sigma itself.
        relative = relative_std(intensity, max(sigma, MIN_SIGMA))
        sigma = _sigma_of_details(slices, measured, np.maximum(relative, MIN_RELATIVE_STD))
    return sigma


def _sigma_of_details(
    slices: NDArray[np.float64], measured: NDArray[np.bool_], relative: NDArray[np.float64] | float = 1.0
) -> float:
    """Estimate sigma from the median magnitude of the diagonal details whose neighbours are all small.

    The median magnitude of a normal distribution is 0.6745 sigma. Horizontal and vertical details count as neighbours
    of the diagonal ones, since white noise is independent between them.

    Args:
        slices: normalised intensities, shape (slice, rows, columns).
        measured: mask of the coefficients to use, see `_measured_windows`.
        relative: noise at each detail relative to the noise at the intensity to which sigma refers.
    """
    diagonal = _details(slices, HIGH_PASS, HIGH_PASS) / relative
    others = _details(slices, HIGH_PASS, LOW_PASS) ** 2 + _details(slices, LOW_PASS, HIGH_PASS) ** 2
    others = others / np.square(relative)
    power = _mean_of_neighbours(diagonal**2 + others, FLAT_REACH) + others / RING_SIZE
    count = min(_sample_size(FLAT_SHARE, diagonal.size), int(np.count_nonzero(measured)))
    flat = _with_quietest_neighbours(diagonal[measured], power[measured], count)
    sigma = float(np.median(np.abs(flat))) / NORMAL_QUARTILE
    return 0.0 if sigma < ROUNDING_ERROR else sigma


def _details(
    slices: NDArray[np.float64], down: NDArray[np.float64], across: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return one level of wavelet coefficients of every slice, for filters that lie entirely inside the slice."""
    filtered = ndimage.correlate1d(ndimage.correlate1d(slices, down, axis=1), across, axis=2)
    return filtered[:, 2:-1:2, 2:-1:2]


def _sample_size(share: float, size: int) -> int:
    return math.ceil(max(share * size, min(MIN_COUNT, MAX_SHARE * size)))


def _with_quietest_neighbours(
    values: NDArray[np.float64], power: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Return the `count` values with the least power in their neighbourhood, the first ones where it is equal."""
    if not 0 < count < values.size:
        return values[:count]
    limit = np.partition(power, count - 1)[count - 1]
    chosen = power < limit
    chosen[np.flatnonzero(power == limit)[: count - np.count_nonzero(chosen)]] = True
    return values[chosen]


def _mean_of_neighbours(slices: NDArray, reach: int) -> NDArray[np.float64]:
    """Return the mean over the neighbours of each value within its slice, without the value itself."""
    return _sum_of_neighbours(slices, reach) / _sum_of_neighbours(np.ones((1, *slices.shape[1:])), reach)


def _sum_of_neighbours(slices: NDArray, reach: int) -> NDArray[np.float64]:
    # Two passes along the axes are several times as fast as one with a square of weights.
    total, side = np.asarray(slices, dtype=np.float64), np.ones(2 * reach + 1)
    for axis in (1, 2):
        total = ndimage.correlate1d(total, side, axis, mode="constant")
    return total - slices
