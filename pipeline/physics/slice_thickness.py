"""Estimate the slice thickness of a stack from the image itself.

Lines within the slices are fine, lines across them are coarse. Blurred by the right slice profile and sampled at the
slice spacing, the former look like the latter (ESPRESO: Han et al., Medical Image Analysis 83:102665, 2023; ECLARE:
Remedios et al., arXiv:2503.20071, 2025). There, an adversarial network compares patches; here, second-order statistics
of lines are compared, which needs no training and is deterministic:

1. The image is filtered by a second difference along one in-plane axis (its fine structure, nearly white, differs least
   between the axes of the head). Two such filters without a common row are used: the noise of their products cancels.
2. Variograms V(n) of the filtered image are computed at n = 1, 2, 3 slice spacings: across the slices as they are, and
   along the other in-plane axis after a Gaussian blur, from the fine variogram. Lines within the slices are averages
   over the slice thickness; for lines across them, the image is blurred along the third axis for the same reason.
3. The ratio of the mean squared third and second differences, (15 V(1) - 6 V(2) + V(3)) / (4 V(1) - V(2)), depends on
   the width of the blur, but neither on contrast nor, for structure without a preferred scale, on how elongated it is.
   The width for which both are equal is the estimate.

Voxels near the edge of the foreground are left out: scalp, skull and the step at the edge of a skull-stripped brain.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.config.parameters import FWHM_PER_SIGMA
from pipeline.image.lengths import lengths_in_words

LAGS = 3
"""Number of slice spacings at which variograms are compared."""
EDGE_MM = 15.0
"""Minimum in-plane distance from the edge of the foreground."""
TAP_MM = 1.0
"""Distance of the rows of both filters, rounded to voxels; closer rows of an interpolated image have common noise."""
WIDTHS = np.linspace(0.3, 2.0, 171)
"""Candidate widths (full width at half maximum) as multiples of the slice spacing."""
REACH = 5
"""Largest lag of the fine variogram in slice spacings."""
PASSES = 2
"""The third axis is blurred by the slice spacing first, then by the estimate."""
MIN_SLICES = 8
MIN_PAIRS = 2000
"""Minimum number of pairs of voxels three slices apart."""
MIN_FINENESS = 2.0
"""Minimum ratio of slice spacing and in-plane voxel size."""
SPREAD = 0.1
"""Standard deviation of the logarithm of the estimate relative to the true width, over heads, axes and noise levels
(benchmarks/slice_thickness.py)."""
INTERVAL = 1.96
PLAUSIBLE = (0.5, 1.6)
"""Plausible range of the estimate in slice spacings. Slices with a rectangular profile and a gap of 20 % have 0.55."""
MAX_DISAGREEMENT = 1.5
"""Maximum ratio of the estimates from both in-plane axes."""
TOO_LITTLE = "too little of the foreground lies far enough from its edge"
Variogram = NDArray[np.float64]


class ThicknessEstimate(NamedTuple):
    """Slice thickness estimated from an image.

    Attributes:
        fwhm_mm: full width at half maximum of a Gaussian profile, in mm; NaN if there is no estimate at all.
        low_mm, high_mm: ends of a 95 % interval.
        problem: why the estimate is not reliable, as the end of a sentence; "" if it is.
    """

    fwhm_mm: float
    low_mm: float
    high_mm: float
    problem: str = ""

    @property
    def is_reliable(self) -> bool:
        """Whether the estimate can be used."""
        return not self.problem


class Sums(NamedTuple):
    """Sums over pairs of voxels by lag: products of differences, and the number of pairs."""

    products: NDArray[np.float64]
    pairs: NDArray[np.float64]

    @property
    def variogram(self) -> Variogram:
        """Mean product of differences."""
        return self.products / np.maximum(self.pairs, 1)


def estimate_thickness(
    data: NDArray[np.floating], foreground: NDArray[np.bool_], spacing_mm: tuple[float, ...], slice_axis: int
) -> ThicknessEstimate:
    """Estimate the slice thickness as the full width at half maximum of a Gaussian profile.

    Profiles of other shapes are estimated by the Gaussian of about the same variance: a rectangle of width w by a
    Gaussian of width 0.7 w. The shapes themselves cannot be told apart.

    Args:
        data: intensities in any unit without NaN, shape (x, y, z).
        foreground: mask of the head or brain, same shape.
        spacing_mm: voxel size along each axis, in mm.
        slice_axis: axis across the slices.

    Returns:
        The estimate, with the reason why it is not reliable: few slices, little foreground, an in-plane voxel size
        close to the slice spacing, or statistics that no width explains.
    """
    stack = np.moveaxis(np.asarray(data, dtype=np.float32), slice_axis, 2)
    spacing = spacing_mm[slice_axis]
    sizes = [size for axis, size in enumerate(spacing_mm) if axis != slice_axis]
    if problem := _unsuitable(stack.shape, sizes, spacing):
        return _failed(problem)
    inner = _inner(np.moveaxis(foreground, slice_axis, 2), sizes)
    steps = [max(1, round(TAP_MM / size)) for size in sizes]
    fine = [_within(stack, inner, line, steps, sizes, spacing) for line in (0, 1)]
    blurred = [_blurred(one.variogram, size, spacing) for one, size in zip(fine, sizes, strict=True)]
    weights = np.array([one.pairs[0] * size for one, size in zip(fine, sizes, strict=True)])
    if weights.min() < MIN_PAIRS:
        return _failed(TOO_LITTLE)
    width, coarse = 1.0, []
    for _ in range(PASSES):
        coarse = _across(stack, inner, steps, [width * spacing / size / FWHM_PER_SIGMA for size in sizes])
        if min(one.pairs[LAGS] for one in coarse) < MIN_PAIRS:
            return _failed(TOO_LITTLE)
        pooled = Sums(coarse[0].products + coarse[1].products, coarse[0].pairs + coarse[1].pairs)
        width = _matching(np.average(blurred, axis=0, weights=weights), pooled.variogram)
        if math.isnan(width):
            return _failed("no Gaussian profile explains the differences between the slices")
    # The filter along one axis, with lines along the other and across the slices, and the reverse.
    alone = [_matching(blurred[1 - axis], coarse[axis].variogram) for axis in (0, 1)]
    return _judged(width * spacing, spacing, alone[0] / alone[1])


def _judged(fwhm_mm: float, spacing_mm: float, disagreement: float) -> ThicknessEstimate:
    """Return an estimate with its interval; `disagreement` is the ratio of the estimates from both in-plane axes."""
    problem = ""
    if not PLAUSIBLE[0] * spacing_mm <= fwhm_mm <= PLAUSIBLE[1] * spacing_mm:
        problem = (
            f"{lengths_in_words([fwhm_mm])} is not plausible for a slice spacing of {lengths_in_words([spacing_mm])}"
        )
    elif not 1 / MAX_DISAGREEMENT <= disagreement <= MAX_DISAGREEMENT:
        problem = "the estimates from both in-plane axes disagree"
    spread = SPREAD if math.isnan(disagreement) else max(SPREAD, abs(math.log(disagreement)) / 2)
    factor = math.exp(INTERVAL * spread)
    return ThicknessEstimate(fwhm_mm, fwhm_mm / factor, fwhm_mm * factor, problem)


def _unsuitable(shape: tuple[int, ...], sizes: list[float], spacing: float) -> str:
    """Return why the slices of an image cannot be compared, by its grid alone; empty if they can."""
    if spacing < MIN_FINENESS * max(sizes):
        return "the voxels are not much finer within the slices than across them"
    extents = [count * size for count, size in zip(shape[:2], sizes, strict=True)]
    if max(extents) <= 2 * EDGE_MM:
        return f"the estimate is for heads, and the slices measure {lengths_in_words(extents)}"
    return f"there are fewer than {MIN_SLICES} slices" if shape[2] < MIN_SLICES else ""


def _failed(problem: str) -> ThicknessEstimate:
    return ThicknessEstimate(math.nan, math.nan, math.nan, problem)


def _inner(foreground: NDArray[np.bool_], sizes: list[float]) -> NDArray[np.bool_]:
    """Return the part of a mask (rows, columns, slices) that is far from its edge, in the slice and across slices."""
    far = np.zeros(foreground.shape, dtype=bool)
    for index in range(foreground.shape[2]):
        far[..., index] = np.asarray(ndimage.distance_transform_edt(foreground[..., index], sizes)) > EDGE_MM
    return far


def _filtered(
    stack: NDArray[np.float32], mask: NDArray[np.bool_], axis: int, step: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Return two second differences along an axis that have no voxel in common, and where both lie in the mask."""
    count = stack.shape[axis] - 5 * step
    if count < 1:
        empty = np.take(stack, range(0), axis)
        return empty, empty, np.take(mask, range(0), axis)
    taps = [np.take(stack, range(tap * step, tap * step + count), axis) for tap in range(6)]
    inside = [np.take(mask, range(tap * step, tap * step + count), axis) for tap in range(6)]
    return taps[0] - 2 * taps[2] + taps[4], taps[1] - 2 * taps[3] + taps[5], np.logical_and.reduce(inside)


def _within(
    stack: NDArray[np.float32],
    inner: NDArray[np.bool_],
    line: int,
    steps: list[int],
    sizes: list[float],
    spacing: float,
) -> Sums:
    """Return the fine variogram along an in-plane axis, filtered along the other, by lag in voxels."""
    lags = min(math.ceil(REACH * spacing / sizes[line]), stack.shape[line] - 1)
    first, second, mask = _filtered(stack, inner, 1 - line, steps[1 - line])
    slices = range(stack.shape[2])
    return _sums(((np.moveaxis(one[..., k], line, -1) for one in (first, second, mask)) for k in slices), lags)


def _across(stack: NDArray[np.float32], inner: NDArray[np.bool_], steps: list[int], blurs: list[float]) -> list[Sums]:
    """Return the variogram across the slices for filters along both in-plane axes, by lag in slices.

    `blurs` has the standard deviation, in voxels, of the blur along each in-plane axis.
    """
    found = []
    for axis in (0, 1):
        blurred = np.asarray(
            ndimage.gaussian_filter1d(stack, blurs[1 - axis], 1 - axis, truncate=3.0), dtype=np.float32
        )
        first, second, mask = _filtered(blurred, inner, axis, steps[axis])
        rows = range(first.shape[0])
        found.append(_sums(((one[row] for one in (first, second, mask)) for row in rows), LAGS))
    return found


def _sums(blocks: Iterable[Iterable[NDArray]], lags: int) -> Sums:
    """Return sums over all pairs of voxels along lines that lie in a mask.

    Args:
        blocks: first and second filtered image and mask, each of shape (lines, voxels).
        lags: largest lag in voxels.

    Returns:
        Sums for the lags 0 to `lags` of (a(t + lag) - a(t)) (b(t + lag) - b(t)).
    """
    total = np.zeros((2, 2 * lags + 1))
    for first, second, mask in blocks:
        if not mask.any():
            continue
        used = mask.any(axis=1)
        inside = mask[used].astype(np.float32)
        a, b = first[used] * inside, second[used] * inside
        size = 2 ** math.ceil(math.log2(inside.shape[1] + lags))
        spectra = [np.fft.rfft(one, size, axis=1) for one in (a, b, a * b, inside)]
        cross = [np.einsum("lk,lk->k", spectra[one].conj(), spectra[other]) for one, other in ((0, 1), (2, 3), (3, 3))]
        moved, still, pairs = (np.roll(np.fft.irfft(one, size), lags)[: 2 * lags + 1] for one in cross)
        total += [still + still[::-1] - moved - moved[::-1], pairs]
    return Sums(total[0, lags:], total[1, lags:])


def _blurred(variogram: Variogram, size: float, spacing: float) -> Variogram:
    """Return the variogram at multiples of the slice spacing after a blur by every candidate width.

    A blur by g convolves the autocovariance with the autocorrelation of g. The variogram is twice the autocovariance at
    lag 0 minus that at the lag, so that it is the variogram convolved with the difference of the kernels at both lags.

    Args:
        variogram: by lag in voxels.
        size: voxel size in mm.
        spacing: slice spacing in mm.

    Returns:
        Shape (widths, LAGS + 1).
    """
    both = np.concatenate([variogram[:0:-1], variogram])
    lags_mm = size * np.arange(1 - len(variogram), len(variogram))
    sigma = math.sqrt(2) * WIDTHS[:, np.newaxis, np.newaxis] * spacing / FWHM_PER_SIGMA
    centres = spacing * np.arange(LAGS + 1)[:, np.newaxis]
    kernels = np.exp(-((lags_mm - centres) ** 2) / (2 * sigma**2))
    kernels /= kernels.sum(axis=2, keepdims=True)
    means = kernels @ both
    return means - means[:, :1]


def _ratio(variogram: Variogram) -> NDArray[np.float64]:
    """Return the ratio of the mean squared third and second differences; the last axis counts slice spacings."""
    one, two, three = (variogram[..., lag] for lag in range(1, LAGS + 1))
    second, third = 4 * one - two, 15 * one - 6 * two + three
    return np.where(second > 0, third / np.where(second > 0, second, 1), np.nan)


def _matching(blurred: Variogram, coarse: Variogram) -> float:
    """Return the width, in slice spacings, at which the ratio of blurred lines equals that of lines across the slices.

    Returns:
        The width; NaN if there is none.
    """
    ratios, wanted = _ratio(blurred), _ratio(coarse)
    above = ratios >= wanted
    falls = np.flatnonzero(above[:-1] & ~above[1:])
    if falls.size == 0:
        return math.nan
    index = int(falls[-1])
    share = (ratios[index] - wanted) / (ratios[index] - ratios[index + 1])
    return float(WIDTHS[index] + share * (WIDTHS[index + 1] - WIDTHS[index]))
