"""Normalise a volume: find its foreground, optionally remove the bias field, and map its range to 0 ... 1.

Fluorescence channels are treated as separate images, each with its own foreground and range; red, green and blue share
both, so that no colour changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np

from pipeline.config.sections import Extract
from pipeline.errors import UserError
from pipeline.image.channels import interleave_channels, split_channels
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityRange, intensity_range, robust_ends
from pipeline.image.missing_values import MASK as MISSING
from pipeline.image.missing_values import check_is_background, filled, missing_voxels
from pipeline.image.plane import slicing_of

logger = logging.getLogger(__name__)

T = TypeVar("T")


def normalise(image: Image, settings: Extract) -> Image:
    """Find the foreground of a volume and normalise its intensities.

    All estimates (mask, bias field, range) come from the given voxels alone.

    Args:
        image: canonical volume or micrograph with physical intensities; fastest if its slices are contiguous in
            memory, see `slices_first`.
        settings: the section `extract`.

    Returns:
        The same volume with normalised float32 intensities, the mask "foreground", its slicing, and its block: slices
        with enough foreground and the estimates. NaN voxels have the lowest intensity and the mask "missing".

    Raises:
        UserError: no foreground was found, no slice has enough of it, or voxels inside it are NaN.
    """
    missing = missing_voxels(image.data)
    source = image.with_data(filled(image.data, missing))
    mask = _foreground(source, settings)
    slicing = slicing_of(image, settings.plane)
    axis = slicing.axis
    masks = {"foreground": mask}
    if missing is not None:
        check_is_background(missing, mask, axis)
        masks = {"foreground": mask & ~missing, MISSING: missing}
        logger.info("%d voxels are NaN and count as background", np.count_nonzero(missing))
    data = _without_bias(source, mask) if settings.bias_correction else source.data
    intensity = image.intensity.with_range(*_ranges(image, data, mask))
    counts = np.count_nonzero(mask, axis=tuple(other for other in range(3) if other != axis))
    coverage = counts / (mask.size // mask.shape[axis])
    chosen = np.flatnonzero(coverage >= settings.min_foreground)
    if chosen.size == 0:
        raise UserError(
            f"no {slicing.plane} slice has {100 * settings.min_foreground:.0f} % foreground (extract.min_foreground). "
            "To use the whole image, set foreground: all (--foreground all)."
        )
    normalised = image.with_data(intensity.normalise(data), intensity=intensity, masks=masks, slicing=slicing)
    return normalised.with_block(
        foreground_slices=tuple(chosen.tolist()),
        foreground_fraction=int(counts.sum()) / mask.size,
        bias_corrected=settings.bias_correction,
        spacing_mm=image.spacing_mm,
        stored_minimum=float(source.data.min()),
    )


def _range_count(image: Image) -> int:
    """Return the number of channels that are normalised separately; red, green and blue share one range."""
    return 1 if image.header.coloured else image.stack.channel_count


def _foreground(image: Image, settings: Extract) -> np.ndarray:
    """Return the foreground of every channel; colours share one, found in their mean."""
    channels = split_channels(image.data, image.stack.channel_count)
    seen = channels if _range_count(image) > 1 else [np.mean(channels, axis=0)] if len(channels) > 1 else channels
    masks = [_of_channel(image, index, partial(_foreground_of, one, settings)) for index, one in enumerate(seen)]
    return interleave_channels((masks * len(channels))[: len(channels)])


def _ranges(image: Image, data: np.ndarray, mask: np.ndarray) -> list[IntensityRange]:
    """Return the range of each channel that is normalised separately."""
    count = _range_count(image)
    pairs = enumerate(zip(split_channels(data, count), split_channels(mask, count), strict=True))
    return [_of_channel(image, index, partial(intensity_range, one, where)) for index, (one, where) in pairs]


def _of_channel(image: Image, index: int, function: Callable[[], T]) -> T:
    """Call a function for a channel, and prefix the message of an error with the channel's name."""
    try:
        return function()
    except UserError as error:
        if _range_count(image) == 1:
            raise
        name = image.stack.channels[index]
        raise UserError(f"{name}: {error} Choose a channel with the key `channel`, or leave this one out.") from error


def _foreground_of(data: np.ndarray, settings: Extract) -> np.ndarray:
    if settings.foreground == "head":
        return foreground_mask(data)
    if data.min() == data.max():
        raise UserError(f"every voxel is {data.min():g}; there is nothing in the image.")
    return np.ones(data.shape, dtype=bool)


def _without_bias(image: Image, mask: np.ndarray) -> np.ndarray:
    """Remove the bias field, which multiplies the intensities above the image's low percentile."""
    from pipeline.image.bias import correct_bias

    count = image.stack.channel_count
    corrected = []
    for one, where in zip(split_channels(image.data, count), split_channels(mask, count), strict=True):
        offset, _ = robust_ends(one)
        corrected.append(correct_bias(np.maximum(one - offset, 0), where) + offset)
    return interleave_channels(corrected)
