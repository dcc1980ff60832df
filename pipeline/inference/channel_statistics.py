"""Intensity ranges and noise levels of the channels of a large image, estimated from samples of its pixels."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.formats.tiled import Plane, TiledImage, Unit
from pipeline.image.intensity import IntensityMap, IntensityRange, intensity_range
from pipeline.image.intensity_limits import limited
from pipeline.physics.noise_level import estimate_sigma

logger = logging.getLogger(__name__)

SAMPLE_TILES, SAMPLE_SIDE = 32, 256
"""Number and side of the squares of pixels from which the intensity range and noise of a channel are estimated."""


@dataclass(frozen=True)
class ChannelStatistics:
    """Intensity range and noise level of a channel, estimated from a sample of its pixels.

    Attributes:
        offset: physical value that is mapped to 0, the 0.1th percentile of the sample. The channels of a colour image
            share one range, from their lowest offset to their highest end, so that hues do not change.
        scale: difference between the value that is mapped to 1, the 99.9th percentile of the sample, and the offset.
        noise_sigma: standard deviation of the noise, as a fraction of the scale.
    """

    offset: float
    scale: float
    noise_sigma: float


def channel_statistics(image: TiledImage, settings: Infer) -> list[ChannelStatistics]:
    """Estimate intensity range and noise level of every channel from squares of pixels spread over its planes.

    Args:
        image: open.
        settings: the section `infer`; its noise level, if given, is used for all channels.

    Raises:
        UserError: a channel has no contrast, or the image is too small for a noise estimate.
    """
    channels: dict[int, list[Plane]] = {}
    for plane in image.planes:
        channels.setdefault(image.channel_of(plane), []).append(plane)
    squares = {channel: sample(image, planes) for channel, planes in sorted(channels.items())}
    ranges = {channel: _range_of(image, channel, one) for channel, one in squares.items()}
    if image.coloured:
        offset = min(one.offset for one in ranges.values())
        shared = IntensityRange(offset, max(one.offset + one.scale for one in ranges.values()) - offset)
        ranges = dict.fromkeys(ranges, shared)
    found = []
    for channel, one in squares.items():
        level = _statistics_of(image, channel, one, ranges[channel], settings)
        logger.info(
            "channel %d: intensity range %g to %g, noise %.4f of it",
            *(channel, level.offset, level.offset + level.scale, level.noise_sigma),
        )
        found.append(level)
    return found


def sample(image: TiledImage, planes: list[Plane]) -> NDArray:
    """Return squares of pixels, spread evenly over planes: shape (SAMPLE_TILES, rows, columns).

    Their positions are a Halton sequence (Numerische Mathematik 2:84-90, 1960), the same for all images of one size.
    """
    sides = [min(size, SAMPLE_SIDE) for size in image.plane_shape]
    free = [size - side + 1 for size, side in zip(image.plane_shape, sides, strict=True)]
    squares = []
    for number, place in enumerate(qmc.Halton(2, scramble=False).random(SAMPLE_TILES)):
        plane = planes[number * len(planes) // SAMPLE_TILES]
        starts = [int(share * count) for share, count in zip(place, free, strict=True)]
        squares.append(read_finite(image, plane, *(slice(a, a + b) for a, b in zip(starts, sides, strict=True))))
    return np.stack(squares)


def _range_of(image: TiledImage, channel: int, squares: NDArray) -> IntensityRange:
    try:
        return intensity_range(physical_values(squares, image.intensity))
    except UserError as error:
        raise UserError(f"{image.path}: channel {channel}: {error} Exclude it (--channel).") from error


def _statistics_of(
    image: TiledImage, channel: int, squares: NDArray, found: IntensityRange, settings: Infer
) -> ChannelStatistics:
    if settings.noise_sigma is not None:
        return ChannelStatistics(*found, settings.noise_sigma)
    try:
        within = limited((physical_values(squares, image.intensity) - found.offset) / found.scale)
        return ChannelStatistics(*found, estimate_sigma(within.values, 0, "gaussian").sigma)
    except UserError as error:
        raise UserError(f"{image.path}: channel {channel}: {error}") from error


def read_finite(image: TiledImage, plane: Plane, rows: slice, columns: slice) -> NDArray:
    """Read a region of a plane and check that it is finite.

    Raises:
        UserError: a pixel is NaN or infinite.
    """
    region = image.read(plane, rows, columns)
    if not np.all(np.isfinite(region)):
        raise UserError(f"{image.path}: rows {rows.start} to {rows.stop} contain pixels that are NaN or infinite.")
    return region


def read_unit(image: TiledImage, unit: Unit, rows: slice, columns: slice) -> NDArray:
    """Read a region of all sections of a unit, shape (sections, rows, columns); errors as `read_finite`."""
    return np.stack([read_finite(image, plane, rows, columns) for plane in image.planes_in(unit)])


def physical_values(stored: NDArray, intensity: IntensityMap) -> NDArray[np.float64]:
    """Map stored to physical intensities."""
    return stored.astype(np.float64) * intensity.slope + intensity.intercept


def normalised(stored: NDArray, intensity: IntensityMap) -> NDArray[np.float32]:
    """Map stored to normalised intensities."""
    return intensity.normalise(physical_values(stored, intensity))
