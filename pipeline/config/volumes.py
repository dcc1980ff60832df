"""The volumes of a run: files, subjects and splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from pipeline.config.base import Section

Split = Literal["train", "val", "test", "test_within_subject"]
TEST_SPLITS: tuple[Split, ...] = ("test", "test_within_subject")
EVALUATED_SPLITS: tuple[Split, ...] = (*TEST_SPLITS, "val")
MIN_SOURCES = 2

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
        raise ValueError("not a folder inside the source, such as Training or images/Training")
    return folder


Folder = Annotated[str, AfterValidator(_check_folder)]


Micrometres = Annotated[float, Field(gt=0)]
Thickness = Annotated[float, Field(gt=0, le=50)]


def _one_or_several(value: object) -> str:
    return "several" if isinstance(value, list | tuple) else "one"


Thicknesses = Annotated[
    Annotated[Thickness, Tag("one")] | Annotated[tuple[Thickness, ...], Tag("several")],
    Discriminator(_one_or_several),
]

TISSUE_ORDERS: Mapping[str, tuple[str, str, str]] = {
    "csf-grey-white": ("csf", "grey", "white"),
    "white-grey-csf": ("white", "grey", "csf"),
}
"""Brain tissues in order of increasing intensity."""


class Volume(Section):
    """A volume, or a block of its slices."""

    id: Identifier
    """identifier, used in file names and reports"""
    subject: Identifier
    """subject; all volumes of a subject belong to the same split"""
    split: Split
    """train; val: used to select settings; test: subjects that are in no other split; test_within_subject: a held-out
    block of a training subject"""
    source: str | None = None
    """name of a known source, or of an entry of `sources`"""
    sources: tuple[str, ...] | None = None
    """instead of `source`: names of two or more sources, each a scan of this head in the same contrast. They are
    combined into one volume with isotropic voxels (section combine), which the run then uses as if it were a single
    scan, and which is its reference; the first one defines position and intensities"""
    content: Literal["image", "labels"] = "image"
    """image, or labels: a label map (FreeSurfer numbers, 0 for the background) from which images of random contrast are
    synthesised: for train a new one for every patch, for val a single one. Not for test volumes"""
    segmentation: str | None = None
    """source of a segmentation: an integer label for every voxel of the volume, 0 for the background; used by the
    region `labels` of evaluate"""
    neurons: str | None = None
    """for val and test volumes of electron microscopy: source of a segmentation of neurons, one label for each, 0 where
    unknown. Neurons are segmented in the restored volumes and compared with these (metrics/membranes.csv)"""
    cell_um: Micrometres | None = None
    """for val and test volumes of fluorescence microscopy: diameter of the bright cells, in micrometres. Cells are
    detected in the restored volumes and compared with those of the reference (metrics/cells.csv)"""
    slices: Annotated[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] | None, Field()] = None
    """range [start, stop) of slices in the plane extract.plane, in canonical RAS order; null selects all slices"""
    folder: Folder | None = None
    """for pictures: folder inside the source; null selects the whole source"""
    shard: Annotated[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] | None, Field()] = None
    """for pictures: [index, count], the index of a part of the pictures and the number of parts; null for volumes"""

    frame: Annotated[int, Field(ge=0)] | None = None
    """volume of a 4-D image or time series, counted from 0"""
    channel: Annotated[int, Field(ge=0)] | str | None = None
    """channel of a micrograph or picture: its index, counted from 0, or its name (red, green or blue for RGB); null
    selects all channels"""
    series: str | None = None
    """image to use if a file or folder contains several: DICOM SeriesDescription or SeriesInstanceUID, or the name of
    the image"""
    voxel_um: Annotated[tuple[Micrometres, Micrometres, Micrometres] | None, Field()] = None
    """voxel size along x (columns), y (rows) and z (slices) in micrometres, for micrographs whose file
    does not contain it"""
    thickness_mm: Thicknesses | None = None
    """slice thickness in mm (full width at half maximum of the slice profile), for volumes whose file or BIDS sidecar
    does not state it correctly; it differs from the slice spacing if there are gaps or overlaps. For `sources`, one
    number for all, or a list with one for each"""
    tissues: Literal["csf-grey-white", "white-grey-csf"] | None = None
    """for skull-stripped volumes: the tissues in order of intensity, csf-grey-white for T1-weighted and white-grey-csf
    for T2-weighted images; null labels the three intensity classes dark, medium and bright"""

    @model_validator(mode="after")
    def _check_part(self) -> Volume:
        keys = (
            "segmentation",
            "neurons",
            "cell_um",
            "frame",
            "channel",
            "series",
            "voxel_um",
            "thickness_mm",
            "tissues",
        )
        given = [key for key in keys if getattr(self, key) is not None]
        if self.is_stack and given:
            raise ValueError(f"{given[0]} applies to volumes, not to a stack of pictures of a collection")
        return self

    @model_validator(mode="after")
    def _check_content(self) -> Volume:
        if not self.is_label_map:
            return self
        if self.split in TEST_SPLITS:
            raise ValueError("content: labels is for train and val; results are tested on acquired images")
        if self.is_stack or self.is_combined:
            raise ValueError("content: labels applies to a volume with a single source")
        given = [key for key in ("segmentation", "neurons", "cell_um", "tissues") if getattr(self, key) is not None]
        if given:
            raise ValueError(f"{given[0]} applies to images, not to content: labels")
        return self

    @model_validator(mode="after")
    def _check_sources(self) -> Volume:
        if (self.source is None) == (self.sources is None):
            raise ValueError("give either source, or sources with two or more scans of one head")
        if self.sources is None:
            if isinstance(self.thickness_mm, tuple):
                raise ValueError("thickness_mm is one number; a list is for sources, with one number for each")
            return self
        if len(self.sources) < MIN_SOURCES:
            raise ValueError("sources lists fewer than two scans; for a single one, give source")
        twice = [name for index, name in enumerate(self.sources) if name in self.sources[:index]]
        if twice:
            raise ValueError(f"sources lists {twice[0]!r} twice; every scan counts once")
        keys = ("shard", "folder", "frame", "channel", "series", "voxel_um", "neurons")
        given = [key for key in keys if getattr(self, key) is not None]
        if given:
            raise ValueError(f"{given[0]} applies to a single source; the sources of one head are single volumes in mm")
        if isinstance(self.thickness_mm, tuple) and len(self.thickness_mm) != len(self.sources):
            raise ValueError(
                f"thickness_mm has {len(self.thickness_mm)} values for {len(self.sources)} sources; give one number "
                "for all, or one for each"
            )
        return self

    @model_validator(mode="after")
    def _check_measures(self) -> Volume:
        for key in ("neurons", "cell_um"):
            if getattr(self, key) is not None and self.split not in EVALUATED_SPLITS:
                raise ValueError(f"{key} applies to volumes that are evaluated, not to the split {self.split}")
        return self

    @property
    def companion_names(self) -> tuple[str, ...]:
        """Names of the sources of its segmentations."""
        return tuple(name for name in (self.segmentation, self.neurons) if name is not None)

    @property
    def is_label_map(self) -> bool:
        """Whether images are synthesised from this volume."""
        return self.content == "labels"

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of all sources."""
        return self.sources or (self.source or "",)

    @property
    def origin(self) -> str:
        """Name of the source; of several, their names joined by "+", which no name contains."""
        return "+".join(self.source_names)

    @property
    def is_combined(self) -> bool:
        """Whether this is a volume combined from several scans."""
        return self.sources is not None

    @property
    def thicknesses_mm(self) -> tuple[float | None, ...]:
        """Slice thickness of every source; None where it is not given."""
        if isinstance(self.thickness_mm, tuple):
            return self.thickness_mm
        return (self.thickness_mm,) * len(self.source_names)

    @property
    def is_stack(self) -> bool:
        """Whether this is a stack of unrelated pictures rather than a volume of neighbouring slices."""
        return self.shard is not None


CollectionSplit = Literal["train", "val", "test"]
COLLECTION_SPLITS: tuple[CollectionSplit, ...] = ("train", "val", "test")


class Collection(Section):
    """A folder of 2-D pictures (JPEG, PNG), grey or coloured, divided into stacks that are treated like volumes."""

    id: CollectionIdentifier
    """prefix of the identifiers of the stacks: <id>-0, <id>-1 and so on"""
    source: str
    """name of an entry of `sources`: a folder or zip archive"""
    folder: Folder | None = None
    """folder of the pictures inside the source, including its subfolders; null selects the whole source"""
    shards: dict[CollectionSplit, Annotated[int, Field(ge=1, le=1000)]]
    """number of stacks per split; the stack of a picture depends only on its file name, so adding pictures does not
    move others"""

    def volumes(self) -> Iterator[Volume]:
        """Yield the stacks for training, then validation, then test."""
        splits: list[CollectionSplit] = [split for split in COLLECTION_SPLITS for _ in range(self.shards.get(split, 0))]
        for index, split in enumerate(splits):
            name = f"{self.id}-{index}"
            shard = (index, len(splits))
            yield Volume(id=name, subject=name, split=split, source=self.source, folder=self.folder, shard=shard)


class Duplicates(Section):
    """Detection of near-duplicates among the pictures of `collections`."""

    max_distance: Annotated[int, Field(ge=0, le=16)] = 4
    """maximum Hamming distance between the 64-bit perceptual hashes of near-duplicates; of two near-duplicates in
    different splits, the one of val or test is left out"""


def with_stacks(volumes: Sequence[Volume], collections: Sequence[Collection]) -> tuple[Volume, ...]:
    """Return the volumes followed by the stacks of all collections that are not yet included."""
    stacks = [stack for collection in collections for stack in collection.volumes()]
    return (*volumes, *(stack for stack in stacks if stack not in volumes))
