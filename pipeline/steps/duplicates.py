"""Find pictures and volumes that are in two splits, identical or nearly so.

Two pictures are near-duplicates where their perceptual hashes (64 bits of a discrete cosine transform, after Zauner,
Implementation and Benchmarking of Perceptual Image Hash Functions, 2010) differ in few bits. The one that was to be
measured is left out by the stage extract: in val where the other is in train, in test where it is in train or val.

Of a volume some slices are looked for among those of the volumes of earlier splits and other subjects. One of which
several are found is named in the table and in the log, and stays in: whether it is the same head is for a person to
say.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.config.volumes import Duplicates, Volume
from pipeline.errors import about
from pipeline.formats._picture_stack import as_grey, read_picture
from pipeline.formats.io.container import map_image
from pipeline.image.channels import labelled
from pipeline.sources.picture_archive import picture_names, read_pictures
from pipeline.steps._framework import entry, section
from pipeline.tables.duplicates import DUPLICATES, Duplicate

logger = logging.getLogger(__name__)

ORDER = ("train", "val", "test", "test_within_subject")
"""Of two near-duplicates, the one whose split comes later is left out."""
SLICES = 64
"""Slices of a volume that are hashed, spread evenly over those with foreground."""
PROBES = 8
"""Of these, the slices that are looked for among all of another volume."""
MIN_SHARE = 0.25
"""Share of the probes that must be found for two volumes to be named. Blocks of one head may overlap in part only; of
the demo's two heads no probe is found: the nearest slices differ in 20 of 64 bits."""


class Hashed(NamedTuple):
    """A picture of a stack, or a slice of a volume, and its hash."""

    volume: Volume
    name: str
    bits: int


def perceptual_hash(picture: NDArray) -> int:
    """Return the 64 bits of a picture's brightness as a number.

    Args:
        picture: grey, shape (rows, columns), uint8 or uint16, or RGB, shape (rows, columns, 3), uint8.
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
    """Yield the hashes of some slices of an extracted volume, each cut to its foreground.

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
    for index in spread(image.block.foreground_slices, SLICES):
        picture = cut_to(image.data.take(index, axis), mask.take(index, axis))
        grey = np.rint(255 * picture.clip(0, 1)).astype(np.uint8)
        channel = channels[index % len(channels)] if len(channels) > 1 else ""
        name = labelled(f"slice {image.block.start + image.stack.section_of(index)}", channel)
        yield Hashed(volume, name, perceptual_hash(grey))


def spread(things: Sequence[Any], count: int) -> list[Any]:
    """Return at most `count` of the things, at even distances, with the first and the last."""
    return [things[place] for place in np.unique(np.linspace(0, len(things) - 1, count).round().astype(int))]


def cut_to(picture: NDArray, mask: NDArray[np.bool_]) -> NDArray:
    """Return the smallest rectangle of a picture (rows, columns) that holds a mask of its shape; all without one."""
    if not mask.any():
        return picture
    ranges = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    rows, columns = (slice(found[0], found[-1] + 1) for found in ranges)
    return picture[rows, columns]


def resembling(volumes: Sequence[Sequence[Hashed]], most: int) -> list[Duplicate]:
    """Find volumes of which several slices stand in one of another subject and an earlier split.

    Args:
        volumes: the hashed slices of each.
        most: as in `near_duplicates`.

    Returns:
        Their slices' rows.
    """
    probes = [one for slices in volumes for one in spread(slices, PROBES)]
    found = near_duplicates(probes, most, [one for slices in volumes for one in slices])
    subjects = {one.volume.id: one.volume.subject for one in probes}
    # Blocks of one head are kept apart by the configuration.
    rows = [row for row in found if subjects[row.volume] != subjects[row.near_duplicate_volume]]
    shared: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        shared.setdefault((row.volume, row.near_duplicate_volume), set()).add(row.picture)
    total = Counter(one.volume.id for one in probes)
    named = {pair for pair, names in shared.items() if len(names) >= MIN_SHARE * total[pair[0]]}
    for volume, other in sorted(named):
        logger.warning(
            "volume %r looks like %r, which is in an earlier split: %d of %d slices. Is it the same head? It stays in.",
            *(volume, other, len(shared[volume, other]), total[volume]),
        )
    return [row for row in rows if (row.volume, row.near_duplicate_volume) in named]


def near_duplicates(
    pictures: Sequence[Hashed], most: int, among: Sequence[Hashed] | None = None
) -> Iterator[Duplicate]:
    """Find near-duplicates of different splits.

    Args:
        pictures: of all stacks, or of all volumes.
        most: bits in which the hashes of near-duplicates may differ.
        among: where they are looked for; None takes `pictures`.

    Yields:
        One row a pair, in the order of `pictures`.
    """
    others = pictures if among is None else among
    bits = np.array([picture.bits for picture in others], dtype=np.uint64)
    ranks = np.array([ORDER.index(picture.volume.split) for picture in others])
    for one in pictures:
        distances = np.bitwise_count(bits ^ np.uint64(one.bits))
        for other in np.flatnonzero((distances <= most) & (ranks < ORDER.index(one.volume.split))):
            twin = others[int(other)]
            own, its = ((kept.volume.split, kept.volume.id) for kept in (one, twin))
            yield Duplicate(one.name, *own, twin.name, *its, int(distances[other]))


def tell(rows: Sequence[Duplicate], totals: Mapping[str, int]) -> None:
    """Log how many pictures of each split are left out; `totals` has all pictures by split."""
    left_out = {(row.split, row.volume, row.picture) for row in rows}
    for split, total in totals.items():
        count = sum(one[0] == split for one in left_out)
        logger.info("%s: %d of %d pictures have a near-duplicate in an earlier split", split, count, total)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    input: list[Path] = field(default_factory=list)
    """Archives of pictures (.zip)."""
    sources: list[str] = field(default_factory=list)
    """Sources of the archives, in the same order."""
    volumes: Annotated[tuple[Volume, ...], entry(tuple[Volume, ...], "volumes")] = ()
    """Entries of the stacks."""
    extracted: list[Path] = field(default_factory=list)
    """Extracted volumes (.safetensors) that are no stacks."""
    output: Path
    """One row a pair of near-duplicates in different splits (.csv)."""
    settings: Annotated[Duplicates, section(Duplicates)] = field(default_factory=Duplicates)
    """Section `duplicates` of the configuration."""


def run(options: Options) -> None:
    """Write the table."""
    max_distance = options.settings.max_distance
    archives = dict(zip(options.sources, options.input, strict=True))
    pictures = [picture for volume in options.volumes for picture in hashed(volume, archives[volume.source])]
    rows = list(near_duplicates(pictures, max_distance))
    extracted = [list(hashed_slices(path)) for path in tqdm(options.extracted, unit="volume", disable=None)]
    DUPLICATES.write(options.output, [*rows, *resembling(extracted, max_distance)])
    splits = [picture.volume.split for picture in pictures]
    tell(rows, {split: splits.count(split) for split in ORDER if split in splits})
