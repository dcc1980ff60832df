"""Invertible, recorded maps between stored, physical and normalised intensities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.blocks import memory_order

LOW_PERCENTILE = 0.1
"""Normalised 0.0 is this percentile of the whole image."""
PERCENTILE = 99.9
"""Normalised 1.0 is this percentile of the foreground."""
DATA_RANGE = 1.0
"""Full range of normalised intensities, against which errors are measured. It is taken from the reference once per
volume, so that it depends on no method and no slice."""


SHOWN_RANGES = 8
"""Maximum number of ranges listed in the log."""


TAIL, GAP = 0.01, 2.0
"""Largest share of an image that may be outliers on either side, and how wide a gap separates them from the rest, as a
multiple of the range of the rest."""


SAMPLE = 1 << 20
"""Number of voxels in which outliers are searched."""


class IntensityRange(NamedTuple):
    """The physical intensities that become 0 and 1: `offset` and `offset + scale`."""

    offset: float
    scale: float


def intensity_range(image: NDArray, foreground: NDArray[np.bool_] | None = None) -> IntensityRange:
    """Find the range of an image from its own values.

    Outliers are left out, see `bulk_of`. Both ends are values of the image, not interpolated between two of them, so
    that the range of a * image + c is exactly a * offset + c and a * scale for a > 0.

    Args:
        image: physical intensities, any shape, any order in memory. NaN is left out.
        foreground: boolean array of the same shape; None for all of the image.

    Returns:
        The `LOW_PERCENTILE` of the image, and the distance from there to the `PERCENTILE` of the foreground.

    Raises:
        UserError: the two are the same.
    """
    order = memory_order(image)
    values = image.transpose(order)
    bulk = bulk_of(values)
    inside = values if foreground is None else values[foreground.transpose(order)]
    offset = float(robust_percentile(values, LOW_PERCENTILE, bulk))
    scale = float(robust_percentile(inside, PERCENTILE, bulk)) - offset
    if scale <= 0:
        raise UserError(f"nearly all voxels have the same value ({offset:g}), so there is nothing to sharpen.")
    return IntensityRange(offset, scale)


class Bulk(NamedTuple):
    """The lowest and highest value of an image without its outliers."""

    low: float
    high: float


EVERYTHING = Bulk(-math.inf, math.inf)


def bulk_of(values: NDArray) -> Bulk:
    """Find the values of an image without outliers: hot and dead voxels, metal, burnt-in marks.

    Outliers are at most the lowest and the highest `TAIL` of the voxels. They are separated from all other values by a
    gap that is more than `GAP` times as wide as the range of those, so that sparse bright structures, whose edges have
    all values in between, are none. The result does not depend on how far away they lie.

    Args:
        values: any shape. NaN is left out.
    """
    # Outliers that are too rare for a sample of a million voxels cannot move a percentile.
    flat = values.ravel(order="K")
    flat = _without_nan(flat[:: max(1, flat.size // SAMPLE)])
    last = flat.size - 1
    if last < 2:  # noqa: PLR2004
        return EVERYTHING
    low, high = max(math.floor(TAIL * last), 1), min(math.ceil((1 - TAIL) * last), last - 1)
    parts = np.partition(flat, (low, high))
    first, final = float(parts[low]), float(parts[high])
    if first == final:
        return EVERYTHING
    above = _before_gap(np.sort(parts[high:].astype(np.float64)), first)
    below = -_before_gap(np.sort(-parts[: low + 1].astype(np.float64)), -final)
    return Bulk(below, above)


def _before_gap(tail: NDArray[np.float64], start: float) -> float:
    """Return the last value before the first wide gap in a rising tail of values, whose others begin at `start`.

    It is infinite where there is no such gap.
    """
    wide = np.flatnonzero(np.diff(tail) > GAP * (tail[:-1] - start))
    return float(tail[wide[0]]) if wide.size else math.inf


def robust_percentile(values: NDArray, percentile: float, bulk: Bulk = EVERYTHING) -> NDArray:
    """Return the value at a percentile, rounded toward the middle.

    Args:
        values: any shape. NaN is left out.
        percentile: between 0 and 100.
        bulk: values beyond are left out, unless there are no others.
    """
    flat = _without_nan(values)
    if bulk != EVERYTHING:
        kept = (flat >= bulk.low) & (flat <= bulk.high)
        flat = flat if kept.all() or not kept.any() else flat[kept]
    last = flat.size - 1
    place = percentile / 100 * last
    index = math.floor(place) if percentile > 50 else math.ceil(place)  # noqa: PLR2004
    if last > 1:  # a single extreme value is always left out
        index = min(max(index, 1), last - 1)
    return np.partition(flat, index)[index]


def robust_ends(values: NDArray) -> tuple[float, float]:
    """Return the low and the high percentile of an image, outliers left out.

    Args:
        values: any shape. NaN is left out.
    """
    bulk = bulk_of(values)
    low, high = (float(robust_percentile(values, one, bulk)) for one in (LOW_PERCENTILE, PERCENTILE))
    return low, high


def _without_nan(values: NDArray) -> NDArray:
    """Return the values in one dimension, without those that are NaN."""
    flat = values.ravel(order="K")
    return flat[~np.isnan(flat)] if flat.dtype.kind == "f" and np.isnan(np.sum(flat)) else flat


def describe_range(intensity: IntensityMap) -> str:
    """Return the range in words, for logs; of many ranges, the number."""
    ranges = list(zip(np.atleast_1d(intensity.offset), np.atleast_1d(intensity.scale), strict=True))
    if len(ranges) > SHOWN_RANGES:
        return f"{len(ranges)} slices with intensity ranges of their own"
    return "intensity range " + ", ".join(f"{offset:g} to {offset + scale:g}" for offset, scale in ranges)


@dataclass(frozen=True)
class IntensityMap:
    """Map between stored (in the file), physical (slope and intercept applied) and normalised intensities.

    physical = slope * stored + intercept; normalised = (physical - offset) / scale.

    Attributes:
        scale: distance of the physical values that become 0.0 and 1.0. If slices are normalised separately, as channels
            and the pictures of a collection are, a tuple that is repeated over the slices along the last axis (see
            `pipeline.image.stack`).
        slope: as in the file's header (NIfTI scl_slope).
        intercept: as in the file's header (NIfTI scl_inter).
        dtype: of the stored values.
        offset: physical value that becomes 0.0; a tuple if `scale` is one.
    """

    scale: float | tuple[float, ...] = 1.0
    slope: float = 1.0
    intercept: float = 0.0
    dtype: str = "float32"
    offset: float | tuple[float, ...] = 0.0

    def with_range(self, *ranges: IntensityRange) -> IntensityMap:
        """Return the map with another range, or with one range per channel or slice."""
        if len(ranges) == 1:
            return replace(self, offset=ranges[0].offset, scale=ranges[0].scale)
        offsets, scales = zip(*ranges, strict=True)
        return replace(self, offset=tuple(offsets), scale=tuple(scales))

    def of_differences(self) -> IntensityMap:
        """Return the map of differences of intensities, such as errors: 0 stays 0."""
        return replace(self, offset=0.0)

    def of_slices(self, slices: Sequence[int]) -> IntensityMap:
        """Return the map of some slices along the last axis."""

        def taken(one: float | tuple[float, ...]) -> float | tuple[float, ...]:
            return tuple(one[index % len(one)] for index in slices) if isinstance(one, tuple) else one

        return replace(self, offset=taken(self.offset), scale=taken(self.scale))

    def normalise(self, physical: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map physical to normalised intensities, float32."""
        values = np.asarray(physical)
        normalised = np.empty_like(values, dtype=np.float32)
        offset, scale = self._along_slices(self.offset, values), self._along_slices(self.scale, values)
        if values.dtype.itemsize > np.dtype(np.float32).itemsize:
            difference = np.subtract(values, offset, dtype=np.float64)
            return np.divide(difference, scale, out=normalised, casting="same_kind")
        # Without an array of doubles: differences of integers below 2**24 are exact in single precision.
        np.subtract(values, offset, out=normalised, dtype=np.float64)
        return np.divide(normalised, scale, out=normalised, dtype=np.float64)

    def to_physical(self, normalised: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map normalised to physical intensities, float64."""
        values = np.asarray(normalised)
        physical = np.multiply(values, self._along_slices(self.scale, values), dtype=np.float64)
        physical += self._along_slices(self.offset, values)
        return physical

    @property
    def shown_range(self) -> IntensityRange:
        """Intensity range of the reports; 0 to 1 if slices are normalised separately."""
        if isinstance(self.scale, tuple) or isinstance(self.offset, tuple):
            return IntensityRange(0.0, 1.0)
        return IntensityRange(self.offset, self.scale)

    @staticmethod
    def _along_slices(one: float | tuple[float, ...], values: NDArray) -> float | NDArray[np.float64]:
        """Return the number, or one number for each slice along the last axis if it is a tuple."""
        return np.resize(one, values.shape[-1]) if isinstance(one, tuple) else one

    def to_stored(self, normalised: NDArray[np.floating], limits: tuple[int, int] | None = None) -> tuple[NDArray, int]:
        """Map normalised intensities to the values and dtype of the input file.

        Args:
            normalised: intensities.
            limits: smallest and largest integer that the file can hold; None for those of the dtype.

        Returns:
            The stored values, and the number of values that were clipped to that range.
        """
        stored = self.to_physical(normalised)
        if (self.slope, self.intercept) != (1, 0):
            stored = (stored - self.intercept) / self.slope
        dtype = np.dtype(self.dtype)
        if dtype.kind == "f":
            return stored.astype(dtype), 0
        lowest, highest = limits or (np.iinfo(dtype).min, np.iinfo(dtype).max)
        rounded = np.rint(stored)
        saturated = int(np.count_nonzero(rounded < lowest) + np.count_nonzero(rounded > highest))
        return clip_to(rounded, lowest, highest).astype(dtype), saturated


def clip_to(values: NDArray[np.float64], lowest: int, highest: int) -> NDArray[np.float64]:
    """Clip to an integer range; bounds that float64 cannot represent are moved inward."""
    top = float(highest)
    if int(top) > highest:
        top = float(np.nextafter(top, 0))
    return np.clip(values, float(lowest), top)
