"""Rescale DICOM slices, and choose one slope and intercept for their result."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.valuerep import format_number_as_ds

from pipeline.errors import UserError
from pipeline.formats._dicom_pixels import limits
from pipeline.formats._dicom_places import Slice
from pipeline.image.intensity import IntensityMap

logger = logging.getLogger(__name__)

HEAD_ROOM = 0.25
"""Head room at either end, as a share of the intensity range, if the slope is chosen here."""
DIGITS = 6
"""Significant digits of a chosen slope, so that its multiples fit into a decimal string."""
TRIES = 1000
"""Maximum number of slopes to try, each larger by one in the last digit, until zero is stored exactly."""


def as_text(value: float) -> str:
    """Write a number as a decimal string of at most 16 characters."""
    return format_number_as_ds(float(value) + 0.0)


def intensity_of(path: Path, one: Slice, dtype: str) -> IntensityMap:
    """Return the map of a slice.

    Of MONOCHROME1, low values are shown bright; bright means much everywhere else, so the map is inverted.

    Raises:
        UserError: the slope is zero, or a value is infinite or no number.
    """
    header = one.header
    given = header.get("RescaleSlope", 1.0), header.get("RescaleIntercept", 0.0)
    slope, intercept = (math.nan if value in (None, "") else float(value) for value in given)
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise UserError(
            f"{path}: {one.name!r} has RescaleSlope {given[0]}, RescaleIntercept {given[1]}, which define no "
            "intensities. Export it again."
        )
    if header.PhotometricInterpretation == "MONOCHROME1":
        slope, intercept = -slope, slope * sum(limits(header)) + intercept
    return IntensityMap(1.0, slope, intercept, dtype)


def rescaled(path: Path, slices: Sequence[Slice], stored: Sequence[NDArray]) -> tuple[NDArray, list[IntensityMap]]:
    """Rescale slices.

    Args:
        path: for messages.
        slices: headers.
        stored: stored pixels, each of shape (columns, rows).

    Returns:
        Physical intensities, shape (columns, rows, slices), float64; and the map of each slice.
    """
    maps = [intensity_of(path, one, stored[0].dtype.name) for one in slices]
    pairs = zip(stored, maps, strict=True)
    return np.stack([pixels.astype(np.float64) * one.slope + one.intercept for pixels, one in pairs], axis=2), maps


def common_map(
    path: Path, header: Any, physical: NDArray[np.float64], maps: Sequence[IntensityMap]
) -> tuple[IntensityMap, pydicom.Dataset]:
    """Return one map for all slices, and the header that fits it.

    Where the slices agree, their map is kept. Otherwise the slope is chosen so that the intensities may leave their
    range by a quarter of it at both ends and that zero is stored exactly. All allocated bits are used where the stored
    ones are too coarse for the finest slice.

    Args:
        path: for messages.
        header: elements that all slices share.
        physical: rescaled intensities.
        maps: that of each slice.
    """
    if len(set(maps)) == 1:
        return maps[0], header
    header = pydicom.Dataset(header)
    finest = min(abs(one.slope) for one in maps)
    lowest, highest = float(physical.min()), float(physical.max())
    slope, intercept = with_head_room(lowest, highest, limits(header))
    if slope > finest and header.BitsStored < header.BitsAllocated:
        header.BitsStored, header.HighBit = header.BitsAllocated, header.BitsAllocated - 1
        slope, intercept = with_head_room(lowest, highest, limits(header))
    logger.info("%s: slices have rescale slopes of their own; the result has one, %g", path, slope)
    if slope > finest:
        logger.warning(
            "%s: the rescale slope of the result, %g, is coarser than the finest of its slices, %g: BitsAllocated %d "
            "cannot hold the range of all slices more finely",
            path,
            slope,
            finest,
            header.BitsAllocated,
        )
    if maps[0].slope < 0:  # of MONOCHROME1, much is shown bright only where the slope is negative
        slope, intercept = -slope, intercept + slope * sum(limits(header))
        intercept = float(as_text(intercept))
    common = replace(maps[0], slope=slope, intercept=intercept)
    _restate(path, header, maps, common)
    return common, header


def with_head_room(lowest: float, highest: float, ends: tuple[int, int]) -> tuple[float, float]:
    """Return a slope and an intercept for which a range and its head room fit between two integers.

    Both fit into decimal strings. If the range contains zero, an integer represents it exactly.
    """
    span = highest - lowest
    if span == 0:
        return 1.0, float(as_text(lowest)) - (ends[0] + ends[1] + 1) // 2
    room = HEAD_ROOM * span
    # One step less, since the integer that represents zero is rounded.
    least = (span + 2 * room) / (ends[1] - ends[0] - 1)
    unit = 10.0 ** (math.floor(math.log10(least)) + 1 - DIGITS)
    first = math.ceil(least / unit)
    for count in range(first, first + TRIES):
        slope = float(as_text(count * unit))
        if not lowest <= 0 <= highest:
            return slope, float(as_text(lowest - room - slope * ends[0]))
        zero = math.ceil(ends[0] + (room - lowest) / slope)
        intercept = float(as_text(-zero * slope))
        if zero * slope + intercept == 0:
            return slope, intercept
    return slope, intercept  # pyright: ignore[reportPossiblyUnboundVariable]


def _restate(path: Path, header: Any, maps: Sequence[IntensityMap], common: IntensityMap) -> None:
    """Convert elements in stored values to the values of the result, or remove them."""
    untrue = [key for key in ("PixelPaddingRangeLimit", "RealWorldValueMappingSequence") if key in header]
    padding = header.get("PixelPaddingValue")
    if padding is not None:
        meant = {one.slope * int(padding) + one.intercept for one in maps}
        stored = (meant.pop() - common.intercept) / common.slope
        ends = limits(header)
        if meant or stored != round(stored) or not ends[0] <= stored <= ends[1]:
            untrue.append("PixelPaddingValue")
        else:
            header.PixelPaddingValue = round(stored)
    for key in untrue:
        delattr(header, key)
    if untrue:
        logger.warning(
            "%s: the result does not keep %s, which the rescale slopes of the slices gave different meanings",
            path,
            ", ".join(untrue),
        )
