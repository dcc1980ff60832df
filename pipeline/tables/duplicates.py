"""duplicates.csv: near-duplicate pictures and slices in different splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.tables.columns import Split, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class Duplicate:
    """A picture or slice, and a near-duplicate of it in an earlier split."""

    picture: Annotated[str, Column("name of the picture, or number of the slice")]
    split: Split
    volume: VolumeName
    near_duplicate_of: Annotated[str, Column("name of the near-duplicate in the earlier split")]
    near_duplicate_split: Annotated[str, Column("its split")]
    near_duplicate_volume: Annotated[str, Column("name of its volume")]
    distance: Annotated[int, Column("Hamming distance of the perceptual hashes", "bits")]


@dataclass(frozen=True)
class SharedPictures:
    """Two volumes of different splits, and the number of pictures or slices of the first with a near-duplicate."""

    volume: str
    split: str
    near_duplicate_volume: str
    near_duplicate_split: str
    pictures: int


DUPLICATES = Table("near-duplicates", Duplicate)


def excluded_pictures(path: Path, volume: str) -> set[str]:
    """Read the names of the pictures of a stack that are excluded as near-duplicates; errors as `Table.read`."""
    return {row.picture for row in DUPLICATES.read_rows(path) if row.volume == volume}


def count_duplicates(path: Path) -> list[SharedPictures]:
    """Count from the file the near-duplicate pictures or slices of every two volumes; errors as `Table.read`."""
    pairs: dict[tuple[str, str, str, str], set[str]] = {}
    for row in DUPLICATES.read_rows(path):
        key = (row.volume, row.split, row.near_duplicate_volume, row.near_duplicate_split)
        pairs.setdefault(key, set()).add(row.picture)
    return [SharedPictures(*key, pictures=len(found)) for key, found in sorted(pairs.items())]
