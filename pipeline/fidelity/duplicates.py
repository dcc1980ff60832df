"""Near-duplicate pictures and volumes in different splits.

Two pictures are near-duplicates if their perceptual hashes (64 bits of a discrete cosine transform, after Zauner,
Implementation and Benchmarking of Perceptual Image Hash Functions, 2010) differ in few bits. The one in the later split
is excluded by the step extract: from val if the other is in train, from test if it is in train or val.

Some slices of each volume are compared with those of volumes of earlier splits and other subjects. Volumes with several
near-duplicate slices are listed in the table and in the log, but not excluded: whether they show the same head is for a
person to decide.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.config.volumes import Volume
from pipeline.errors import about
from pipeline.formats._picture_stack import as_grey, read_picture
from pipeline.formats.io.container import map_image
from pipeline.image.channels import slice_title
from pipeline.sources.picture_archive import picture_names, read_pictures
from pipeline.tables.duplicates import Duplicate

logger = logging.getLogger(__name__)

ORDER = ("train", "val", "test", "test_within_subject")
"""Splits in order of precedence: of two near-duplicates, the one in the later split is excluded."""
SLICES = 64
"""Maximum number of hashed slices of a volume, evenly spaced over those with foreground."""
PROBES = 8
"""Number of these slices that are compared with all of another volume."""
MIN_SHARE = 0.25
"""Minimum share of probes with a near-duplicate for two volumes to be listed. Blocks of one head may overlap only in
part; between the demo's two heads there is none: the most similar slices differ in 20 of 64 bits."""


class Hashed(NamedTuple):
    """A picture of a stack, or a slice of a volume, and its perceptual hash."""

    volume: Volume
    name: str
    bits: int


def perceptual_hash(picture: NDArray) -> int:
    """Return the perceptual hash of a picture as a 64-bit number.

    Args:
        picture: greyscale, shape (rows, columns), uint8 or uint16, or RGB, shape (rows, columns, 3), uint8.
    """
    import imagehash
    from PIL import Image as PillowImage

    grey = as_grey(picture) if picture.dtype == np.uint8 else (picture >> 8).astype(np.uint8)
    bits = imagehash.phash(PillowImage.fromarray(grey)).hash.ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hashed(volume: Volume, archive: Path) -> Iterator[Hashed]:
    """Yield the hashes of a stack's pictures.

    Raises:
        UserError: a picture cannot be read.
    """
    with about(f"volume {volume.id!r}"):
        names = picture_names(archive, volume.folder, volume.shard or (0, 1))
        contents = read_pictures(archive, volume.folder, names)
        for name, content in tqdm(contents, volume.id, total=len(names), disable=None):
            yield Hashed(volume, name, perceptual_hash(read_picture(f"{archive}: {name}", content)))


def hashed_slices(extracted: Path) -> Iterator[Hashed]:
    """Yield the hashes of some slices of an extracted volume, each cropped to its foreground.

    Raises:
        UserError: the file cannot be read.
    """
    with about(f"volume {extracted.stem!r}"):
        yield from _hashed_slices(extracted)


def _hashed_slices(extracted: Path) -> Iterator[Hashed]:
    image = map_image(extracted)
    identity, mask, axis = image.identity, image.masks["foreground"], image.slice_axis
    names = {"id": identity.id, "subject": identity.subject, "split": identity.split, "source": identity.source}
    volume = Volume.model_validate(names)
    channels = image.stack.channels
    for index in evenly_spaced(image.block.foreground_slices, SLICES):
        picture = crop_to_mask(image.data.take(index, axis), mask.take(index, axis))
        grey = np.rint(255 * picture.clip(0, 1)).astype(np.uint8)
        channel = channels[index % len(channels)] if len(channels) > 1 else ""
        name = slice_title(f"slice {image.block.start + image.stack.section_of(index)}", channel)
        yield Hashed(volume, name, perceptual_hash(grey))


def evenly_spaced(items: Sequence[Any], count: int) -> list[Any]:
    """Return at most `count` evenly spaced items, including the first and the last."""
    return [items[place] for place in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]


def crop_to_mask(picture: NDArray, mask: NDArray[np.bool_]) -> NDArray:
    """Crop a picture (rows, columns) to the bounding box of a mask of its shape; not if the mask is empty."""
    if not mask.any():
        return picture
    ranges = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    rows, columns = (slice(found[0], found[-1] + 1) for found in ranges)
    return picture[rows, columns]


def similar_volumes(volumes: Sequence[Sequence[Hashed]], max_distance: int) -> list[Duplicate]:
    """Find volumes with several near-duplicate slices in a volume of another subject and an earlier split.

    Args:
        volumes: hashed slices of each volume.
        max_distance: see `near_duplicates`.

    Returns:
        Rows of their slices.
    """
    probes = [one for slices in volumes for one in evenly_spaced(slices, PROBES)]
    found = near_duplicates(probes, max_distance, [one for slices in volumes for one in slices])
    subjects = {one.volume.id: one.volume.subject for one in probes}
    # Volumes of one subject are in one split by the configuration.
    rows = [row for row in found if subjects[row.volume] != subjects[row.near_duplicate_volume]]
    shared: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        shared.setdefault((row.volume, row.near_duplicate_volume), set()).add(row.picture)
    total = Counter(one.volume.id for one in probes)
    listed = {pair for pair, names in shared.items() if len(names) >= MIN_SHARE * total[pair[0]]}
    for volume, other in sorted(listed):
        logger.warning(
            "volume %r is similar to %r in an earlier split: %d of %d slices. Is it the same head? It is not excluded.",
            *(volume, other, len(shared[volume, other]), total[volume]),
        )
    return [row for row in rows if (row.volume, row.near_duplicate_volume) in listed]


def near_duplicates(
    pictures: Sequence[Hashed], max_distance: int, among: Sequence[Hashed] | None = None
) -> Iterator[Duplicate]:
    """Find near-duplicates in different splits.

    Args:
        pictures: hashed pictures of all stacks, or slices of all volumes.
        max_distance: maximum Hamming distance of the hashes of near-duplicates.
        among: pictures to search; None searches `pictures`.

    Yields:
        One row per pair, in the order of `pictures`.
    """
    others = pictures if among is None else among
    bits = np.array([picture.bits for picture in others], dtype=np.uint64)
    ranks = np.array([ORDER.index(picture.volume.split) for picture in others])
    for one in pictures:
        distances = np.bitwise_count(bits ^ np.uint64(one.bits))
        for other in np.flatnonzero((distances <= max_distance) & (ranks < ORDER.index(one.volume.split))):
            other_picture = others[int(other)]
            own, its = ((kept.volume.split, kept.volume.id) for kept in (one, other_picture))
            yield Duplicate(one.name, *own, other_picture.name, *its, int(distances[other]))


def log_counts(rows: Sequence[Duplicate], totals: Mapping[str, int]) -> None:
    """Log how many pictures of each split are excluded; `totals` counts all pictures by split."""
    excluded = {(row.split, row.volume, row.picture) for row in rows}
    for split, total in totals.items():
        count = sum(one[0] == split for one in excluded)
        logger.info("%s: %d of %d pictures have a near-duplicate in an earlier split", split, count, total)
