"""Many volumes at once: the rows of a table, the files of a pattern, a BIDS folder, or the members of an archive.

What stands here is only what the configuration says; `pipeline.config.finding` looks up what is there.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from pipeline.config.base import Section
from pipeline.config.names import PluginName
from pipeline.config.sources import FilePath, LocalPath

DatasetSplit = Literal["train", "val", "test"]
FormatName = Annotated[str, AfterValidator(PluginName("pipeline.formats"))]
SPLIT_ORDER: tuple[DatasetSplit, ...] = ("train", "val", "test")

Prefix = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]*)?$", max_length=40),
    "nothing, or letters, digits, _ and -, beginning with a letter or digit",
]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+]+$"), "letters and digits, such as 01 in sub-01"]
Suffix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+$"), "letters and digits"]


def _check_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"it is not a regular expression: {error}") from error
    return text


def _check_pattern(pattern: str) -> str:
    if not pattern.isprintable() or not pattern.strip("/. "):
        raise ValueError("it is not a pattern of paths, such as data/*/*_T1w.nii.gz")
    return pattern


def _check_shares(shares: dict[DatasetSplit, float]) -> dict[DatasetSplit, float]:
    total = math.fsum(shares.values())
    if shares and not math.isclose(total, 1, abs_tol=1e-6):
        raise ValueError(f"the shares add up to {total:g}, not to 1")
    return shares


def _check_once(subjects: dict[DatasetSplit, tuple[str, ...]]) -> dict[DatasetSplit, tuple[str, ...]]:
    seen: dict[str, DatasetSplit] = {}
    for split, names in subjects.items():
        for name in names:
            if seen.setdefault(name, split) != split:
                raise ValueError(f"the subject {name!r} is listed in both {seen[name]} and {split}")
    return subjects


def _check_keys(keys: dict[str, Any]) -> dict[str, Any]:
    own = [key for key in ("id", "subject", "split", "source") if key in keys]
    if own:
        raise ValueError(f"every volume has its own {own[0]}")
    return keys


Expression = Annotated[str, AfterValidator(_check_expression)]
Pattern = Annotated[str, AfterValidator(_check_pattern)]
Share = Annotated[float, Field(ge=0, le=1)]
Shares = Annotated[dict[DatasetSplit, Share], AfterValidator(_check_shares)]
Keys = Annotated[dict[str, Any], AfterValidator(_check_keys)]
Subjects = Annotated[dict[DatasetSplit, tuple[str, ...]], AfterValidator(_check_once)]


class _Dataset(Section):
    splits: Shares = Field(default={"train": 0.7, "val": 0.15, "test": 0.15})
    """share of the subjects that each split is to get; the SHA-256 of a subject's name decides, so that new subjects
    move no other; {} leaves out whom `subjects` does not name"""
    subjects: Subjects = Field(default={})
    """subjects whose split you decide, such as {test: [sub-07, sub-12]}"""
    prefix: Prefix = ""
    """put before the names of its volumes and subjects, where two data sets use the same names"""
    each_volume: Keys = Field(default={})
    """keys of `volumes` that all its volumes have, such as {slices: [20, 120]}"""


class TableDataset(_Dataset):
    """A table of volumes, columns separated by tabs, with a line of column names."""

    kind: Literal["table"]
    file: LocalPath
    """the table: id, subject, split (without it, `splits` and `subjects` decide), path or source, and any other key of
    `volumes` or of a local source; relative to the folder where snakemake works, like the paths in it"""


class _Named(_Dataset):
    subject: Expression
    """regular expression that finds the subject in a path: its group, or all that it matches"""
    volume: Expression | None = None
    """regular expression that finds the name of the volume in a path; null takes the file's name"""


class GlobDataset(_Named):
    """All files, or folders of one series each, whose path fits a pattern."""

    kind: Literal["glob"]
    pattern: Pattern
    """such as data/*/anat/*_T1w.nii.gz; ** stands for any folders; relative to the folder where snakemake works"""
    format: FormatName | None = None
    """format of the images, where their names do not tell it, such as dicom for folders"""
    title: str = ""
    """what the files are, in words"""
    licence: str = "not stated"
    """licence of the files"""
    citation: str = ""
    """how to cite them"""


class ArchiveDataset(_Named):
    """Members of an archive (zip, tar), which is fetched once."""

    kind: Literal["archive"]
    source: str
    """a name of `sources` below, whose title, licence and citation hold for all members"""
    members: Annotated[tuple[FilePath, ...], Field(min_length=1)]
    """paths inside the archive"""


class BidsDataset(_Dataset):
    """A folder in the Brain Imaging Data Structure, of MRI or microscopy; its results become BIDS derivatives too."""

    kind: Literal["bids"]
    path: LocalPath
    """the folder with dataset_description.json in it, whose name, licence and citation are taken over; relative to the
    folder where snakemake works. What its .bidsignore names is left out"""
    suffix: Suffix = "T1w"
    """kind of image, such as T1w, FLAIR or SEM: what file names end in before .nii.gz, or .png and .ome.tif of
    micrographs, the size of whose voxels is read from their sidecars (PixelSize)"""
    only: dict[Suffix, tuple[Label | None, ...]] = Field(default={})
    """takes just the files with these labels, such as {sub: ["01", "02"], ses: [baseline], run: ["1"]}; null stands for
    files without the entity. Unless it names part, only magnitude images are taken: part-mag, or without part"""


Dataset = Annotated[TableDataset | GlobDataset | BidsDataset | ArchiveDataset, Field(discriminator="kind")]
