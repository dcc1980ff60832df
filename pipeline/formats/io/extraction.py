"""Extract a volume of the configuration: read its file, cut its block of slices and normalise it.

The foreground, the bias field and the range are estimated from the block alone, so that no information passes from one
block to another. The pictures of a collection are read one stack at a time, and each picture is normalised by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.config.sections import Extract
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.files import sha256_of
from pipeline.formats import ROOM, Part, format_of
from pipeline.formats._picture_stack import read_all, stack_image
from pipeline.formats._sidecar import with_sidecars
from pipeline.formats.io.container import write_image
from pipeline.formats.io.segmentation import read_segmentation
from pipeline.image.blocks import slices_first
from pipeline.image.image import Identity, Image
from pipeline.image.intensity import describe_range
from pipeline.image.normalisation import normalise
from pipeline.image.plane import slicing_of
from pipeline.image.segmentation import label_masks
from pipeline.image.slices import cut_block
from pipeline.image.stack import UNIT as PIXEL
from pipeline.physics.resolved_profile import log_profile, with_thickness
from pipeline.sources.picture_archive import picture_names, read_pictures

logger = logging.getLogger(__name__)


def read_whole(
    source: Path,
    volume: Volume,
    settings: Extract,
    format_name: str | None = None,
    sidecars: Sequence[str] = (),
) -> Image:
    """Read a volume with physical values, its slice profile and the plane of its slices.

    Args:
        source: the volume's file.
        volume: its entry of the configuration.
        settings: the section `extract`.
        format_name: module of pipeline.formats; None detects the format.
        sidecars: BIDS sidecars with the slice thickness, the farthest first.

    Raises:
        UserError: naming the file.
    """
    module = plugins.load(ROOM, format_name) if format_name else format_of(source)
    image = module.read(source, Part(volume.frame, volume.channel, volume.series, volume.voxel_um))
    if image.unit == PIXEL:
        logger.warning("%s: the pixel size is unknown: lengths are in pixels until voxel_um is given", volume.id)
    image = with_sidecars(image, sidecars) if sidecars else image
    thickness = None if volume.is_combined else volume.thicknesses_mm[0]
    image = with_thickness(image, thickness, f"volume {volume.id!r}")
    log_profile(image, volume.id)
    return replace(image, slicing=slicing_of(image, settings.plane))


def read_block(
    source: Path,
    volume: Volume,
    settings: Extract,
    format_name: str | None = None,
    segmentation: Path | None = None,
    sidecars: Sequence[str] = (),
) -> Image:
    """Read a block of slices; see `normalise`.

    Args:
        source: the volume's file.
        volume: its entry of the configuration.
        settings: the section `extract`.
        format_name: module of pipeline.formats; None detects the format.
        segmentation: label volume on the same grid; each of its labels becomes a mask.
        sidecars: BIDS sidecars with the slice thickness, the farthest first.

    Raises:
        UserError: naming the file.
    """
    image = read_whole(source, volume, settings, format_name, sidecars)
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
    sidecars: Sequence[str] = (),
) -> None:
    """Extract one volume of the configuration from a file; see `read_block`, and `read_stack` for collections.

    Raises:
        UserError: naming the file.
    """
    if volume.is_stack:
        result = read_stack(source, volume, settings, near_duplicates)
    else:
        result = read_block(source, volume, settings, format_name, segmentation, sidecars)
    write_extracted(output, result, volume, source)


def write_extracted(
    output: Path, result: Image, volume: Volume, source: Path, labels: NDArray[np.int16] | None = None
) -> None:
    """Write an extracted volume with its identity, and log its size and range.

    Args:
        output: the file.
        result: the normalised volume.
        volume: its entry of the configuration.
        source: file that it was read from.
        labels: label map from which it was synthesised; None for other images.
    """
    identity = Identity(volume.id, volume.subject, volume.split, volume.origin, sha256_of(source))
    write_image(output, replace(result, identity=identity), labels)
    count = len(result.block.foreground_slices)
    logger.info(
        "%s: shape %s, %d slices with foreground, %s",
        *(volume.id, result.data.shape, count, describe_range(result.intensity)),
    )
