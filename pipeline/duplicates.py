"""Finds pictures that stand twice, in two splits, in the same or nearly the same form.

Two pictures are near-duplicates where their perceptual hashes (64 bits of a discrete cosine transform, after Zauner,
Implementation and Benchmarking of Perceptual Image Hash Functions, 2010) differ in few bits. The one that was to be
measured is left out by the stage extract: in val where the other is in train, in test where it is in train or val.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.cli import ArgumentParser, Namespace, add_path, add_settings, show_progress
from pipeline.config.load import read_entry, read_section
from pipeline.config.volumes import Duplicates, Volume
from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.image.pictures import read_picture
from pipeline.sources.pictures import picture_names, read_pictures

logger = logging.getLogger(__name__)

ORDER = ("train", "val", "test", "test_within_subject")
"""Of two near-duplicates, the one whose split comes later is left out."""


class Hashed(NamedTuple):
    """A picture of a stack and its hash."""

    volume: Volume
    name: str
    bits: int


class Duplicate(NamedTuple):
    """One row of the table: a picture that is left out, and the one it resembles."""

    picture: str
    split: str
    volume: str
    near_duplicate_of: str
    near_duplicate_split: str
    near_duplicate_volume: str
    distance: int


def perceptual_hash(picture: NDArray) -> int:
    """Returns the 64 bits of a grey picture (rows, columns), uint8 or uint16, as a number."""
    import imagehash
    from PIL import Image as PillowImage

    grey = picture if picture.dtype == np.uint8 else (picture >> 8).astype(np.uint8)
    bits = imagehash.phash(PillowImage.fromarray(grey)).hash.ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hashed(volume: Volume, archive: Path) -> Iterator[Hashed]:
    """Gives the hashes of a stack's pictures; coloured ones, which are left out anyway, have none.

    Raises:
        UserError: a picture cannot be read.
    """
    names = picture_names(archive, volume.folder, volume.shard or (0, 1))
    contents = read_pictures(archive, volume.folder, names)
    for name, content in tqdm(contents, volume.id, total=len(names), disable=not show_progress()):
        picture = read_picture(f"{archive}: {name}", content)
        if picture is not None:
            yield Hashed(volume, name, perceptual_hash(picture))


def near_duplicates(pictures: Sequence[Hashed], most: int) -> Iterator[Duplicate]:
    """Finds near-duplicates of different splits.

    Args:
        pictures: of all stacks.
        most: bits in which the hashes of near-duplicates may differ.

    Yields:
        One row a pair, in the order of `pictures`.
    """
    bits = np.array([picture.bits for picture in pictures], dtype=np.uint64)
    ranks = np.array([ORDER.index(picture.volume.split) for picture in pictures])
    for index, one in enumerate(pictures):
        distances = np.bitwise_count(bits ^ bits[index])
        for other in np.flatnonzero((distances <= most) & (ranks < ranks[index])):
            twin = pictures[int(other)]
            own, its = ((kept.volume.split, kept.volume.id) for kept in (one, twin))
            yield Duplicate(one.name, *own, twin.name, *its, int(distances[other]))


def write_duplicates(path: Path, rows: Sequence[Duplicate]) -> None:
    """Writes the table as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Duplicate._fields)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_left_out(path: Path, volume: str) -> set[str]:
    """Reads from the table which pictures of a stack are to be left out.

    Raises:
        UserError: the file cannot be read, or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = [row for row in reader if row.get("volume") == volume]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}. Delete it and run again.") from error
    if tuple(reader.fieldnames or ()) != Duplicate._fields:
        raise UserError(f"{path}: is no table of near-duplicates; delete it and run again.")
    return {row["picture"] for row in rows}


def tell(rows: Sequence[Duplicate], totals: Mapping[str, int]) -> None:
    """Logs how many pictures of each split are left out; `totals` has all pictures by split."""
    left_out = {(row.split, row.volume, row.picture) for row in rows}
    for split, total in totals.items():
        count = sum(one[0] == split for one in left_out)
        logger.info("%s: %d of %d pictures have a near-duplicate in an earlier split", split, count, total)


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options of this stage."""
    add_path(parser, "--input", "archives of pictures (.zip)", many=True)
    parser.add_argument("--sources", nargs="+", required=True, metavar="NAME", help="their sources, in the same order")
    parser.add_argument("--volumes", required=True, metavar="JSON", help="list of the stacks' entries")
    add_path(parser, "--output", "one row a pair of near-duplicates in different splits (.csv)")
    add_settings(parser, Duplicates)


def main(arguments: Namespace) -> None:
    """Runs the stage."""
    settings = read_section(Duplicates, arguments.settings)
    volumes = read_entry(tuple[Volume, ...], arguments.volumes, "volumes")
    archives = dict(zip(arguments.sources, arguments.input, strict=True))
    pictures = [picture for volume in volumes for picture in hashed(volume, archives[volume.source])]
    rows = list(near_duplicates(pictures, settings.max_distance))
    write_duplicates(arguments.output, rows)
    splits = [picture.volume.split for picture in pictures]
    tell(rows, {split: splits.count(split) for split in ORDER if split in splits})
