"""Data sets: the rows of a table, the files that match a pattern, a BIDS data set, or the members of an archive.

This module only parses the configuration; `pipeline.config.finding` searches for the files.
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
    """fraction of the subjects per split; subjects are assigned by the SHA-256 of their name, so adding subjects does
    not move others; {} uses only those listed in `subjects`"""
    subjects: Subjects = Field(default={})
    """subjects assigned to a split explicitly, such as {test: [sub-07, sub-12]}"""
    prefix: Prefix = ""
    """prefix for the names of volumes and subjects, if two data sets use the same names"""
    each_volume: Keys = Field(default={})
    """keys of `volumes` that apply to all volumes, such as {slices: [20, 120]}"""


class TableDataset(_Dataset):
    """A tab-separated table of volumes with a header line."""

    kind: Literal["table"]
    file: LocalPath
    """path of the table, with the columns id, subject, path or source, optionally split (default: by `splits` and
    `subjects`), and any other key of `volumes` or of a local source. Paths are relative to the working directory of
    Snakemake"""


class _Named(_Dataset):
    subject: Expression
    """regular expression for the subject in a path: its group, or the whole match"""
    volume: Expression | None = None
    """regular expression for the name of the volume in a path; null uses the file name"""


class GlobDataset(_Named):
    """All files, or folders with one DICOM series each, that match a pattern."""

    kind: Literal["glob"]
    pattern: Pattern
    """pattern such as data/*/anat/*_T1w.nii.gz, where ** matches any folders; relative to the working directory of
    Snakemake"""
    format: FormatName | None = None
    """file format, if the names do not determine it, such as dicom for folders"""
    title: str = ""
    """description of the files"""
    licence: str = "not stated"
    """licence of the files"""
    citation: str = ""
    """citation"""


class ArchiveDataset(_Named):
    """Members of an archive (zip, tar), which is downloaded once."""

    kind: Literal["archive"]
    source: str
    """name of an entry of `sources`, whose title, licence and citation apply to all members"""
    members: Annotated[tuple[FilePath, ...], Field(min_length=1)]
    """paths inside the archive"""


class BidsDataset(_Dataset):
    """A BIDS data set of MRI or microscopy; results are also written as BIDS derivatives."""

    kind: Literal["bids"]
    path: LocalPath
    """folder with dataset_description.json, which supplies name, licence and citation; relative to the working
    directory of Snakemake. Files listed in .bidsignore are left out"""
    suffix: Suffix = "T1w"
    """BIDS suffix of the images, such as T1w, FLAIR or SEM. The voxel size of micrographs is read from their sidecars
    (PixelSize)"""
    only: dict[Suffix, tuple[Label | None, ...]] = Field(default={})
    """select files by entity labels, such as {sub: ["01", "02"], ses: [baseline], run: ["1"]}; null selects files
    without the entity. By default only magnitude images are selected (part-mag, or no part)"""


Dataset = Annotated[TableDataset | GlobDataset | BidsDataset | ArchiveDataset, Field(discriminator="kind")]
