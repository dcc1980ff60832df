"""Read an image, cuts its block of slices, finds the foreground and normalises the intensities.

Whatever is estimated (mask, bias field, normalisation) is estimated from the block alone, so that nothing of one
block reaches another. Of a collection of pictures, those of one stack are read; there each is its own block.

Channels are further slices (see `pipeline.image.channels`). Those of fluorescence are treated as images of their own,
each with its foreground and range; red, green and blue share them, so that no colour changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np

from pipeline import plugins
from pipeline.config.sections import Extract
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.files import sha256_of
from pipeline.formats import ROOM, Part, format_of
from pipeline.formats._picture_stack import read_all, stack_image
from pipeline.formats.io.container import write_image
from pipeline.image.blocks import slices_first
from pipeline.image.channels import apart, together
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Identity, Image
from pipeline.image.intensity import (
    IntensityRange,
    describe_range,
    intensity_range,
    robust_ends,
)
from pipeline.image.missing_values import MASK as MISSING
from pipeline.image.missing_values import check_is_background, filled, missing_voxels
from pipeline.image.plane import slicing_of
from pipeline.image.segmentation import label_masks, read_segmentation
from pipeline.image.stack import UNIT as PIXEL
from pipeline.sources.picture_archive import picture_names, read_pictures
from pipeline.steps._framework import entry, section
from pipeline.tables.duplicates import excluded_pictures

logger = logging.getLogger(__name__)

T = TypeVar("T")


def normalise(image: Image, settings: Extract) -> Image:
    """Masks and normalises a block.

    Args:
        image: canonical volume, or micrograph, with physical intensities; quickest where its slices are contiguous in
            memory, see `slices_first`.
        settings: the section `extract`.

    Returns:
        The same block with normalised float32 intensities, the mask "foreground", and its slicing and
        block: the slices with enough foreground and what was estimated. Voxels that are NaN have the lowest
        intensity and the mask "missing".

    Raises:
        UserError: nothing stands out from the background, no slice has enough of it, or voxels inside it are NaN.
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
            f"no {slicing.plane} slice has {settings.min_foreground:.0%} foreground (extract.min_foreground): almost "
            "nothing stands out from the background. To use the whole image, take foreground: all (--foreground all)."
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
    """Return how many channels have a range of their own: red, green and blue share theirs."""
    return 1 if image.header.coloured else image.stack.channel_count


def _foreground(image: Image, settings: Extract) -> np.ndarray:
    """The foreground of every channel; that of colours is the same and seen in their mean."""
    channels = apart(image.data, image.stack.channel_count)
    seen = channels if _range_count(image) > 1 else [np.mean(channels, axis=0)] if len(channels) > 1 else channels
    masks = [_of_channel(image, index, partial(_foreground_of, one, settings)) for index, one in enumerate(seen)]
    return together((masks * len(channels))[: len(channels)])


def _ranges(image: Image, data: np.ndarray, mask: np.ndarray) -> list[IntensityRange]:
    """The range of each channel that has one of its own."""
    count = _range_count(image)
    pairs = enumerate(zip(apart(data, count), apart(mask, count), strict=True))
    return [_of_channel(image, index, partial(intensity_range, one, where)) for index, (one, where) in pairs]


def _of_channel(image: Image, index: int, function: Callable[[], T]) -> T:
    """Call a function about a channel; the channel's name precedes the message of an error."""
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
    """Remove the bias field, which multiplies what lies above the image's low percentile."""
    from pipeline.image.bias import correct_bias

    count = image.stack.channel_count
    corrected = []
    for one, where in zip(apart(image.data, count), apart(mask, count), strict=True):
        offset, _ = robust_ends(one)
        corrected.append(correct_bias(np.maximum(one - offset, 0), where) + offset)
    return together(corrected)


def cut_block(image: Image, slices: tuple[int, int] | None, axis: int) -> Image:
    """Keep slices [start, stop) along an axis, with all their channels, and moves the affine along.

    Raises:
        UserError: the volume has fewer slices.
    """
    sections = image.stack.sections_of(image.data.shape[axis])
    count = int(sections[-1]) + 1
    start, stop = slices or (0, count)
    if stop > count:
        raise UserError(f"slices [{start}, {stop}) were asked for, but there are only {count}.")
    first, last = (int(place) for place in np.searchsorted(sections, [start, stop]))
    index = [slice(None)] * 3
    index[axis] = slice(first, last)
    offset = np.zeros(4)
    offset[axis], offset[3] = start, 1
    affine = image.affine.copy()
    affine[:, 3] = image.affine @ offset
    stack = replace(image.stack, names=image.stack.names[first:last])
    if stack.has_channels:
        stack = replace(stack, sections=tuple((sections[first:last] - start).tolist()))
    return image.with_data(image.data[tuple(index)], affine=affine, stack=stack).with_block(slices=(start, stop))


def read_block(
    source: Path,
    volume: Volume,
    settings: Extract,
    format_name: str | None = None,
    segmentation: Path | None = None,
) -> Image:
    """Read a block of slices; see `normalise`.

    Args:
        source: the volume's file.
        volume: its entry of the configuration.
        settings: the section `extract`.
        format_name: a module of pipeline.formats; None lets the file tell.
        segmentation: a label volume on the same grid, which gives a mask a label.

    Raises:
        UserError: naming the file.
    """
    module = plugins.load(ROOM, format_name) if format_name else format_of(source)
    image = module.read(source, Part(volume.frame, volume.channel, volume.series, volume.voxel_um))
    if image.unit == PIXEL:
        logger.warning(
            "%s: how large a pixel is, is not known: lengths are in pixels until voxel_um is given", volume.id
        )
    image = replace(image, slicing=slicing_of(image, settings.plane))
    axis = image.slice_axis
    labels = read_segmentation(segmentation, image, volume.id) if segmentation else None
    try:
        cut = cut_block(image, volume.slices, axis)
        block = normalise(cut.with_data(slices_first(cut.data, axis)), settings)
        if labels is None:
            return block
        kept = cut_block(image.with_data(labels), volume.slices, axis).data
    except UserError as error:
        raise UserError(f"volume {volume.id!r} from {source}: {error}") from error
    found = tuple(int(label) for label in np.unique(labels) if label != 0)
    return block.with_data(block.data, masks={**block.masks, **label_masks(kept)}).with_block(labels=found)


def read_stack(archive: Path, volume: Volume, settings: Extract, near_duplicates: Collection[str]) -> Image:
    """Read the pictures of a stack from a zip archive; see `pipeline.formats._picture_stack.stack_image`.

    Args:
        archive: zip file.
        volume: the stack's entry of the configuration.
        settings: the section `extract`; the plane and the bias correction are of volumes only.
        near_duplicates: names of pictures to leave out.

    Raises:
        UserError: a picture cannot be read, or none is left.
    """
    listed = picture_names(archive, volume.folder, volume.shard or (0, 1))
    names = [name for name in listed if name not in near_duplicates]
    where = f"volume {volume.id!r} from {archive}"
    try:
        pictures = read_all(read_pictures(archive, volume.folder, names))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    too_large = [name for name, one in pictures.items() if max(one.shape[:2]) > settings.max_side_pixels]
    pictures = {name: one for name, one in pictures.items() if name not in too_large}
    duplicates = [name for name in listed if name in near_duplicates]
    left_out = f"{len(too_large)} too large, {len(duplicates)} near duplicate"
    if not pictures:
        raise UserError(
            f"{where}: of {len(listed)} pictures none is left ({left_out}); give the collection fewer shards."
        )
    logger.info("%s: %d of %d pictures; left out: %s", volume.id, len(pictures), len(listed), left_out)
    if settings.bias_correction:
        logger.warning("%s: extract.bias_correction does nothing, since these are pictures", volume.id)
    try:
        image = stack_image(pictures, settings.min_foreground, settings.foreground)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return image.with_block(too_large=tuple(too_large), near_duplicates=tuple(duplicates))


def extract(
    source: Path,
    volume: Volume,
    settings: Extract,
    output: Path,
    near_duplicates: Collection[str] = (),
    format_name: str | None = None,
    segmentation: Path | None = None,
) -> None:
    """Extract one volume of the configuration from a file; see `read_block`, and `read_stack` for collections.

    Raises:
        UserError: naming the file.
    """
    if volume.is_stack:
        result = read_stack(source, volume, settings, near_duplicates)
    else:
        result = read_block(source, volume, settings, format_name, segmentation)
    identity = Identity(volume.id, volume.subject, volume.split, volume.source, sha256_of(source))
    write_image(output, replace(result, identity=identity))
    count = len(result.block.foreground_slices)
    logger.info(
        "%s: shape %s, %d slices with foreground, %s",
        *(volume.id, result.data.shape, count, describe_range(result.intensity)),
    )


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    input: Path
    """File of the volume, or an archive of pictures or DICOM files (.zip)."""
    output: Path
    """Extracted volume (.safetensors)."""
    volume: Annotated[Volume, entry(Volume, "volume")]
    """Entry of the volume in the configuration."""
    format: str | None = None
    """Format of the file (default: recognised by its name or content)."""
    segmentation: Path | None = None
    """Label volume on the grid of the volume; each of its labels becomes a mask."""
    duplicates: Path | None = None
    """Table of the step duplicates (.csv), for pictures; without it, none is excluded as a near-duplicate."""
    settings: Annotated[Extract, section(Extract)] = field(default_factory=Extract)
    """Section `extract` of the configuration."""


def run(options: Options) -> None:
    """Write the extracted volume.

    Raises:
        UserError: the format is unknown, or the volume cannot be extracted.
    """
    volume, formats = options.volume, plugins.names(ROOM)
    if options.format is not None and options.format not in formats:
        raise UserError(f"--format: {options.format!r} is unknown; choose from {', '.join(formats)}.")
    near_duplicates = excluded_pictures(options.duplicates, volume.id) if options.duplicates else ()
    extract(
        options.input, volume, options.settings, options.output, near_duplicates, options.format, options.segmentation
    )
