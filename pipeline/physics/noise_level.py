"""Estimate the noise level of an image from the image alone.

The background of magnitude images contains nothing but noise. It follows Rayleigh's distribution, whose standard
deviation gives sigma (Gudbjartsson and Patz, Magnetic Resonance in Medicine 34:910-914, 1995). Elsewhere the diagonal
wavelet coefficients of flat parts give it (Donoho and Johnstone, Biometrika 81:425-455, 1994).

Both use the quietest part of the image. Selecting the quietest values would underestimate the noise, so a voxel is
selected by its neighbours and then measured by itself: white noise is independent of its neighbours.

Voxels that hold no measurement must not count as quiet: masks, padding, saturation, burnt-in text. They are recognised
by constant blocks, whatever their value. In images of integers with noise below the rounding step such blocks also
occur by chance; where they are the rule they count as measured, and the estimate is that of the rounded image.
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
"""Share of all voxels, the darkest by their neighbours, that is taken for background."""
FLAT_SHARE = 0.05
"""Share of the wavelet details, those with the quietest neighbours, that is taken for flat."""
ENOUGH = 400
"""In small images larger shares are taken, up to this number: the second moment of so many tells sigma to 2.5 %."""
LARGEST_SHARE = 0.1
"""The largest share that is taken in small images."""
BACKGROUND_REACH = 2
"""Neighbours of a voxel lie in its slice, at most this far away along both axes."""
FLAT_REACH = 1
"""The same for wavelet details, in steps of their own, coarser grid."""
RAYLEIGH_SPREAD = math.sqrt(2 - math.pi / 2)
"""Standard deviation of Rayleigh's distribution over sigma, 0.655."""
LOWEST = 0.05
"""Share of the background, its lowest values, whose mean tells where its zero lies: unlike the minimum, it depends
neither on single voxels nor on rounding."""
LOWEST_END = math.sqrt(-2 * math.log1p(-LOWEST))
"""The highest of them in Rayleigh's distribution, over sigma."""
LOWEST_MEAN = (math.sqrt(math.pi / 2) * math.erf(LOWEST_END / math.sqrt(2)) - LOWEST_END * (1 - LOWEST)) / LOWEST
"""Their mean there, over sigma, 0.212."""
RAYLEIGH_RATIO = (math.sqrt(math.pi / 2) - LOWEST_MEAN) / RAYLEIGH_SPREAD
"""Mean of all minus mean of the lowest values of Rayleigh's distribution, over its standard deviation: 1.589, wherever
its zero lies. Ringing without noise has less, signal has more: 2.063 for a normal distribution."""
RATIO_TOLERANCE = 0.04
"""Maximum relative deviation from this ratio beyond chance."""
RATIO_SPREAD = 0.68
"""Relative standard error of the ratio times the square root of the number of values, found by simulation."""
OUTLIER = 8.0
"""Values further from the median than this many times the distance of the third quartile are dropped: of Rayleigh's
distribution 3 in a million, hot and dead voxels always."""
CHANCE = 3.0
"""Standard errors that count as chance."""
DETAIL_TOLERANCE = 0.2
"""Fraction by which the noise of the background may exceed the finest detail anywhere, which contains it, by chance."""
MEDIAN_SPREAD = 1.17
"""Standard error of the median magnitude of one normal value, as a fraction: it falls with the square root."""
BLOCK = 3
"""Side of the smallest block of equal voxels of one slice that is taken for unmeasured."""
COMMON_SHARE = 1e-3
"""Minimum share of all voxels that have a value which stands for a mask or for clipping."""
CHANCE_SHARE = 0.5
"""Where constant blocks leave less than this share of the remaining windows, they are due to rounding."""

NORMAL_QUARTILE = 0.6744897501960817
"""Median magnitude of the standard normal distribution."""
LOW_PASS = np.array([1 + math.sqrt(3), 3 + math.sqrt(3), 3 - math.sqrt(3), 1 - math.sqrt(3)]) / math.sqrt(32)
"""Daubechies' wavelet of four coefficients (Communications on Pure and Applied Mathematics 41:909-996, 1988)."""
HIGH_PASS = LOW_PASS[::-1] * np.array([1, -1, 1, -1])
"""The other half of the pair: it is blind to constants and ramps."""
WINDOW = np.ones(4)
"""The voxels that a coefficient depends on; windows start at every second voxel."""
RING_SIZE = (2 * FLAT_REACH + 1) ** 2 - 1
"""How many neighbours a wavelet detail has."""
ROUNDS = 4
"""How often noise that grows with the intensity is estimated from the estimate before."""
MIN_SIGMA = 1e-4
"""Below it nobody asks how noise grows."""
MIN_RELATIVE = 0.02
"""Details that are darker count as having this share of the noise at 1.0, so that none counts without limit."""
SMALLEST_SIDE = 16
"""Rows and columns below which an image says too little."""


class Estimate(NamedTuple):
    """The noise level of an image.

    Attributes:
        sigma: standard deviation, per channel for magnitude images, as a fraction of the normalised range.
        method: "background" (the background), or "wavelet" where there is no usable background.
    """

    sigma: float
    method: Literal["background", "wavelet"]


class Unmeasured(NamedTuple):
    """Voxels that hold no measurement, boolean arrays of shape (slice, rows, columns).

    Attributes:
        constant: members of a constant block.
        marked: voxels of certain common values wherever they are: the lowest and the highest value of the image where
            voxels were clipped to them, those of constant blocks, and the value of most of the other blocks.
        lowest: voxels with the lowest of these values.
    """

    constant: NDArray[np.bool_]
    marked: NDArray[np.bool_]
    lowest: NDArray[np.bool_]


def estimate_sigma(lr: NDArray[np.floating], slice_axis: int, noise: str | PhysicalParameters = "rician") -> Estimate:
    """Estimate the noise level of a volume or a stack of slices.

    Args:
        lr: normalised intensities (0.0 is a low quantile, 1.0 is bright), shape (x, y, z). Its noise is taken to be
            white: an image that was interpolated after its acquisition has less of it than it seems.
        slice_axis: axis along which the slices follow each other.
        noise: kind of noise, a name of pipeline.physics.noise, or parameters of one; only "rician" noise is looked for
            in the background. Where noise grows with the intensity, sigma is that at intensity 1.0.

    Returns:
        Sigma, and how it was found. Constant areas (masks, padding, saturation, burnt-in text) are skipped. An image
        that is constant has sigma 0. In images of integers, sigma includes the rounding error as far as the image
        shows it; noise far below the rounding step is estimated as anything between 0 and the step. Without
        background, fine structure passes for noise: in a coarse image of tissue, sigma is then hardly ever below 0.01.

    Raises:
        UserError: the slices are too small.
    """
    slices = np.moveaxis(np.asarray(lr, dtype=np.float64), slice_axis, 0)
    if min(slices.shape[1:]) < SMALLEST_SIDE:
        raise UserError(
            f"slices of {slices.shape[1]} x {slices.shape[2]} voxels are too small to estimate their noise; "
            f"{SMALLEST_SIDE} voxels along both axes are needed. Give the noise level with --noise-sigma (in a "
            "configuration: infer.noise_sigma), or choose another plane of the slices with --plane (extract.plane)."
        )
    unmeasured = _unmeasured(slices)
    windows = _measured_windows(unmeasured)
    kind = noise if isinstance(noise, str) else noise.name
    module = plugins.load(NOISES, kind)
    if hasattr(module, "relative_std"):
        parameters = module.Parameters() if isinstance(noise, str) else noise
        relative_std = partial(module.relative_std, parameters=parameters)
        return Estimate(_sigma_at_one(slices, windows, relative_std), "wavelet")
    of_details = _sigma_of_details(slices, windows)
    if kind != "rician":
        return Estimate(of_details, "wavelet")
    background = _without_outliers(_background(slices, unmeasured))
    if background.size == 0:
        return Estimate(of_details, "wavelet")
    spread = float(np.std(background))
    # Dark tissue may have Rayleigh's ratio by chance, but then it is smooth.
    by_chance = 2 * MEDIAN_SPREAD / math.sqrt(_wanted(FLAT_SHARE, slices.size // 4))
    if _is_rayleigh(background) and spread < (1 + DETAIL_TOLERANCE + by_chance) * of_details:
        return Estimate(spread / RAYLEIGH_SPREAD, "background")
    # These voxels hold more than noise or not even noise; either way, the noise cannot be stronger than all of it.
    return Estimate(min(spread / RAYLEIGH_SPREAD, of_details), "wavelet")


def _unmeasured(slices: NDArray[np.float64]) -> Unmeasured:
    """Find the voxels that hold no measurement. Equality is exact, so that no noise passes for it."""
    blocks = _constant_blocks(slices)
    found = slices[:, 1:-1, 1:-1][blocks]
    values = _clipping_values(slices) | _values_of_blocks(found, math.ceil(COMMON_SHARE * slices.size))
    constant, marked = (np.zeros(slices.shape, dtype=bool) for _ in range(2))
    if found.size:
        for row, column in np.ndindex(BLOCK, BLOCK):
            constant[:, row : row + blocks.shape[1], column : column + blocks.shape[2]] |= blocks
    for value in values:
        marked |= slices == value
    return Unmeasured(constant, marked, slices == min(values) if values else marked)


def _constant_blocks(slices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which inner voxels of the slices have the value of their eight neighbours."""
    pairs = slices[:, :, 1:] == slices[:, :, :-1]
    rows = pairs[:, :, 1:] & pairs[:, :, :-1]
    below = slices[:, 1:, 1:-1] == slices[:, :-1, 1:-1]
    return rows[:, 2:] & rows[:, 1:-1] & rows[:, :-2] & below[:, 1:] & below[:, :-1]


def _clipping_values(slices: NDArray[np.float64]) -> set[float]:
    """Return the lowest and the highest value, where it is common and more voxels have it than have the next value."""
    found = set()
    for end, reduce, worst in ((slices.min(), np.min, np.inf), (slices.max(), np.max, -np.inf)):
        at_end = slices == end
        count = int(np.count_nonzero(at_end))
        if COMMON_SHARE * slices.size <= count < slices.size:
            following = reduce(slices, where=~at_end, initial=worst)
            if count > np.count_nonzero(slices == following):
                found.add(float(end))
    return found


def _values_of_blocks(values: NDArray[np.float64], least: int) -> set[float]:
    """Return the lowest and the highest of some values, and the one that most of the others have.

    Args:
        values: those of constant blocks.
        least: minimum number of values that are equal; fewer may be by chance.
    """
    if values.size < least:
        return set()
    ends = {float(values.min()), float(values.max())}
    between = values[(values > min(ends)) & (values < max(ends))]
    middle = between.size // 2
    most = {float(np.partition(between, middle)[middle])} if between.size else set()
    common = {value for value in most if np.count_nonzero(between == value) > middle}
    return {value for value in ends | common if np.count_nonzero(values == value) >= least}


def _measured_windows(unmeasured: Unmeasured) -> NDArray[np.bool_]:
    """Return which wavelet coefficients are made of measured voxels alone, in the shape that `_details` has.

    Beside a clipped area single voxels are clipped as well, which makes the noise there seem weaker: what is next to a
    marked voxel is left out too. Where most of the image is constant, the constant values are the image itself: a
    phantom, or weak noise that was rounded away.
    """
    marked = _touched(unmeasured.marked)
    if marked.any():
        marked = _spread(marked, FLAT_REACH)
    strict = ~(marked | _touched(unmeasured.constant))
    loose = ~marked
    enough = FLAT_SHARE * marked.size
    count = np.count_nonzero(loose)
    if np.count_nonzero(strict) >= max(enough, CHANCE_SHARE * count):
        return strict
    if count >= enough:
        return loose
    above = ~_touched(unmeasured.lowest)
    return above if np.count_nonzero(above) >= COMMON_SHARE * above.size else np.ones_like(above)


def _touched(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for every wavelet coefficient whether one of the voxels it depends on is flagged."""
    rows, columns = (size // 2 * 2 for size in flags.shape[1:])
    down = flags[:, :rows:2] | flags[:, 1:rows:2]
    down = down[:, :-1] | down[:, 1:]
    across = down[:, :, :columns:2] | down[:, :, 1:columns:2]
    return across[:, :, :-1] | across[:, :, 1:]


def _spread(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return which values are flagged or have a flagged neighbour in their slice."""
    side = 2 * reach + 1
    return np.asarray(ndimage.maximum_filter(flags, (1, side, side)), dtype=bool)


def _background(slices: NDArray[np.float64], unmeasured: Unmeasured) -> NDArray[np.float64]:
    """Return the values of the voxels with the darkest neighbours; none where too few of them were measured.

    A voxel with an unmeasured neighbour is not considered, since values next to clipped ones are often clipped.
    """
    wanted = _wanted(BACKGROUND_SHARE, slices.size)
    flagged = unmeasured.marked | unmeasured.constant
    measured = ~_spread(flagged, BACKGROUND_REACH) if flagged.any() else ~flagged
    if np.count_nonzero(measured) < wanted:
        return np.empty(0)
    power = _mean_of_neighbours(slices**2, BACKGROUND_REACH)
    return _quietest(slices[measured], power[measured], wanted)


def _without_outliers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop hot and dead voxels, which the selection by neighbours does not exclude."""
    if values.size == 0:
        return values
    median, upper = np.quantile(values, (0.5, 0.75))
    return values[np.abs(values - median) <= OUTLIER * (upper - median)]


def _is_rayleigh(values: NDArray[np.float64]) -> bool:
    """Return whether values follow the distribution of the magnitudes of pure noise, apart from a constant."""
    spread = float(np.std(values))
    count = math.ceil(LOWEST * values.size)
    # Values that were clipped at the lower end share the lowest one.
    if spread == 0 or np.count_nonzero(values == values.min()) > count:
        return False
    lowest = float(np.mean(np.partition(values, count - 1)[:count]))
    ratio = (float(np.mean(values)) - lowest) / spread
    by_chance = CHANCE * RATIO_SPREAD / math.sqrt(values.size)
    return abs(ratio / RAYLEIGH_RATIO - 1) < RATIO_TOLERANCE + by_chance


def _sigma_at_one(
    slices: NDArray[np.float64], measured: NDArray[np.bool_], relative_std: Callable[..., NDArray[np.float64]]
) -> float:
    """Return sigma at intensity 1.0: every detail is measured by the noise that its own intensity has."""
    intensity = _details(slices, WINDOW, WINDOW) / WINDOW.size**2
    sigma = _sigma_of_details(slices, measured)
    for _ in range(ROUNDS):
        # How the noise grows depends on sigma itself, but little.
        relative = relative_std(intensity, max(sigma, MIN_SIGMA))
        sigma = _sigma_of_details(slices, measured, np.maximum(relative, MIN_RELATIVE))
    return sigma


def _sigma_of_details(
    slices: NDArray[np.float64], measured: NDArray[np.bool_], relative: NDArray[np.float64] | float = 1.0
) -> float:
    """Return the median magnitude of the diagonal details where all details around are small, as a sigma.

    The median of a normal distribution's magnitudes is 0.6745 sigma. The details across and along count among the
    neighbours of a diagonal one, since white noise is independent between them.

    Args:
        slices: normalised intensities, shape (slice, rows, columns).
        measured: which coefficients count, see `_measured_windows`.
        relative: by what the noise is stronger at each detail than where sigma is asked for.
    """
    diagonal = _details(slices, HIGH_PASS, HIGH_PASS) / relative
    others = _details(slices, HIGH_PASS, LOW_PASS) ** 2 + _details(slices, LOW_PASS, HIGH_PASS) ** 2
    others = others / np.square(relative)
    power = _mean_of_neighbours(diagonal**2 + others, FLAT_REACH) + others / RING_SIZE
    wanted = min(_wanted(FLAT_SHARE, diagonal.size), int(np.count_nonzero(measured)))
    flat = _quietest(diagonal[measured], power[measured], wanted)
    return float(np.median(np.abs(flat))) / NORMAL_QUARTILE


def _details(
    slices: NDArray[np.float64], down: NDArray[np.float64], across: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return one level of wavelet coefficients of every slice: those whose filters lie inside it."""
    filtered = ndimage.correlate1d(ndimage.correlate1d(slices, down, axis=1), across, axis=2)
    return filtered[:, 2:-1:2, 2:-1:2]


def _wanted(share: float, size: int) -> int:
    return math.ceil(max(share * size, min(ENOUGH, LARGEST_SHARE * size)))


def _quietest(values: NDArray[np.float64], power: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the `count` values around which there is least power."""
    return values[np.argsort(power, kind="stable")[:count]]


def _mean_of_neighbours(slices: NDArray, reach: int) -> NDArray[np.float64]:
    """Return the mean over the values around each one in its slice, without itself and what lies outside."""
    ring = np.ones((1, 2 * reach + 1, 2 * reach + 1))
    ring[0, reach, reach] = 0
    total = ndimage.correlate(slices.astype(np.float64), ring, mode="constant")
    return total / ndimage.correlate(np.ones((1, *slices.shape[1:])), ring, mode="constant")
