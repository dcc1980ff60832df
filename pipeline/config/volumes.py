"""Which volumes a run uses, whose they are, and what each may be used for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pipeline.config.base import Section

Split = Literal["train", "val", "test", "test_within_subject"]
TEST_SPLITS: tuple[Split, ...] = ("test", "test_within_subject")
EVALUATED_SPLITS: tuple[Split, ...] = (*TEST_SPLITS, "val")

Identifier = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100),
    "1 to 100 letters, digits, _ and -, beginning with a letter or digit",  # the pattern in words, for messages
]

CollectionIdentifier = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=95),
    "1 to 95 letters, digits, _ and -, beginning with a letter or digit",  # room for the number of a stack
]


def _check_folder(folder: str) -> str:
    parts = folder.split("/")
    if not folder.isprintable() or "\\" in folder or any(part.strip(". ") == "" for part in parts):
        raise ValueError("it is not a folder inside the source, such as Training or images/Training")
    return folder


Folder = Annotated[str, AfterValidator(_check_folder)]


Micrometres = Annotated[float, Field(gt=0)]

TISSUE_ORDERS: Mapping[str, tuple[str, str, str]] = {
    "csf-grey-white": ("csf", "grey", "white"),
    "white-grey-csf": ("white", "grey", "csf"),
}
"""Tissues of a brain from dark to bright."""


class Volume(Section):
    """One volume, or one block of slices of it."""

    id: Identifier
    """names the volume's files and its report"""
    subject: Identifier
    """whose head it is; a subject belongs to one split"""
    split: Split
    """train: teaches; val: chooses settings; test: another subject; test_within_subject: a block kept apart"""
    source: str
    """a name of the table of known sources, or of `sources` below"""
    segmentation: str | None = None
    """a source that holds a segmentation: a whole number for every voxel of the volume, 0 where there is no structure;
    for the regions `labels` of evaluate"""
    slices: Annotated[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] | None, Field()] = None
    """[start, stop) in slices of the volume's plane (extract.plane), counted in canonical RAS order; null takes all"""
    folder: Folder | None = None
    """for pictures: the folder inside the source; null takes the whole source"""
    shard: Annotated[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] | None, Field()] = None
    """for pictures: [index, count], which of how many parts of the folder's pictures; null for a volume"""

    frame: Annotated[int, Field(ge=0)] | None = None
    """of a 4-D image or a time series: which volume, counted from 0"""
    channel: Annotated[int, Field(ge=0)] | str | None = None
    """of a micrograph or picture: number of the one channel to take, counted from 0, or its name (red, green or blue of
    RGB); null takes all of them"""
    series: str | None = None
    """of several images in one file or folder: DICOM's SeriesDescription or SeriesInstanceUID, or the image's name"""
    voxel_um: Annotated[tuple[Micrometres, Micrometres, Micrometres] | None, Field()] = None
    """size of a voxel along x (columns), y (rows) and z (slices) in micrometres, where a micrograph does not tell it"""
    tissues: Literal["csf-grey-white", "white-grey-csf"] | None = None
    """where the volume shows nothing but brain: its tissues from dark to bright, csf-grey-white in T1-weighted and
    white-grey-csf in T2-weighted images; null names the three classes of its voxels dark, medium and bright"""

    @model_validator(mode="after")
    def _check_part(self) -> Volume:
        keys = ("segmentation", "frame", "channel", "series", "voxel_um", "tissues")
        given = [key for key in keys if getattr(self, key) is not None]
        if self.is_stack and given:
            raise ValueError(f"{given[0]} is of volumes; this is a stack of a collection's pictures")
        return self

    @property
    def is_stack(self) -> bool:
        """Whether this is a stack of pictures, and no volume whose slices are neighbours."""
        return self.shard is not None


CollectionSplit = Literal["train", "val", "test"]
COLLECTION_SPLITS: tuple[CollectionSplit, ...] = ("train", "val", "test")


class Collection(Section):
    """A folder of 2-D pictures (JPEG, PNG), grey or coloured, which is cut into stacks, each a volume of its own."""

    id: CollectionIdentifier
    """names the stacks: <id>-0, <id>-1 and so on"""
    source: str
    """a name of `sources` below: a folder, or a zip archive"""
    folder: Folder | None = None
    """the folder of the pictures inside the source, with all folders below it; null takes the whole source"""
    shards: dict[CollectionSplit, Annotated[int, Field(ge=1, le=1000)]]
    """parts that go to each split; a picture's part hangs on its name alone, so that new pictures move no other"""

    def volumes(self) -> Iterator[Volume]:
        """Yield the stacks: those of training first, then validation, then test."""
        splits: list[CollectionSplit] = [split for split in COLLECTION_SPLITS for _ in range(self.shards.get(split, 0))]
        for index, split in enumerate(splits):
            name = f"{self.id}-{index}"
            shard = (index, len(splits))
            yield Volume(id=name, subject=name, split=split, source=self.source, folder=self.folder, shard=shard)


class Duplicates(Section):
    """What counts as the same picture twice, among the pictures of `collections`."""

    max_distance: Annotated[int, Field(ge=0, le=16)] = 4
    """pictures whose perceptual hashes differ in at most this many of 64 bits are near-duplicates; of two in different
    splits, the one of val or test is left out"""


def with_stacks(volumes: Sequence[Volume], collections: Sequence[Collection]) -> tuple[Volume, ...]:
    """Return the volumes, followed by the stacks of all collections that are not among them yet."""
    stacks = [stack for collection in collections for stack in collection.volumes()]
    return (*volumes, *(stack for stack in stacks if stack not in volumes))
