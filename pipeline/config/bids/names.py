"""Names of files in the Brain Imaging Data Structure (Gorgolewski et al., Scientific Data 3:160044, 2016).

Microscopy: Bourget et al., Frontiers in Neuroscience 16:871228, 2022.

A name consists of entities (sub-01, ses-02, run-1), followed by a suffix for the kind of image:
sub-01_ses-02_run-1_T1w.nii.gz.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

NIFTI_EXTENSIONS = (".nii.gz", ".nii")
MICROSCOPY_EXTENSIONS = (".ome.zarr", ".ome.tif", ".ome.btf", ".tif", ".png")
EXTENSIONS = (*NIFTI_EXTENSIONS, *MICROSCOPY_EXTENSIONS)
"""Extensions of images; the first that matches a name is used."""
MICROSCOPY_SUFFIXES = (
    *("TEM", "SEM", "uCT", "BF", "DF", "PC", "DIC", "FLUO", "CONF", "PLI", "CARS", "2PE", "MPE", "SR", "NLO", "OCT"),
    *("SPIM", "XPCT"),
)
"""Suffixes of micrographs."""
LABEL = r"[A-Za-z0-9+]+"
STEM = re.compile(rf"(?P<entities>(?:[A-Za-z0-9]+-{LABEL}_)*)(?P<suffix>[A-Za-z0-9]+)")
DESCRIPTION = "brainsr"
"""Label of the entity desc that distinguishes a result from its source image."""
ERROR_MAP = "uncertainty"
"""Label of the entity desc of the uncertainty map of a result."""


@dataclass(frozen=True)
class BidsName:
    """A parsed file name.

    Attributes:
        entities: labels by key, in the order of the name.
        suffix: kind of image, such as T1w.
        extension: one of `EXTENSIONS`.
    """

    entities: dict[str, str]
    suffix: str
    extension: str

    @property
    def stem(self) -> str:
        """The name without its extension."""
        return "_".join([*(f"{key}-{label}" for key, label in self.entities.items()), self.suffix])


def extensions_of(suffix: str) -> tuple[str, ...]:
    """Return the file extensions of a kind of image."""
    return MICROSCOPY_EXTENSIONS if suffix in MICROSCOPY_SUFFIXES else NIFTI_EXTENSIONS


def parse_stem(stem: str) -> tuple[dict[str, str], str]:
    """Parse a name without extension.

    Returns:
        Labels by key, in the order of the name, and the suffix.

    Raises:
        ValueError: the name does not follow the standard.
    """
    match = STEM.fullmatch(stem)
    pairs = [pair.split("-", 1) for pair in match["entities"].split("_")[:-1]] if match else []
    entities = dict(pairs)
    if match is None or len(entities) < len(pairs):
        raise ValueError(f"{stem!r} is not a BIDS name")
    return entities, match["suffix"]


def parse(name: str) -> BidsName:
    """Parse the name of an image.

    Raises:
        ValueError: the name does not follow the standard; the message gives an example.
    """
    extension = next((one for one in EXTENSIONS if name.endswith(one)), "")
    try:
        entities, suffix = parse_stem(name.removesuffix(extension))
    except ValueError:
        entities, suffix = {}, ""
    if not extension or next(iter(entities), "") != "sub":
        raise ValueError(f"{name!r} is not a BIDS name of an image, such as sub-01_ses-02_T1w.nii.gz")
    return BidsName(entities, suffix, extension)


def check_place(path: str) -> BidsName:
    """Check that an image is in the folder given by its name, such as sub-01/ses-02/anat.

    Args:
        path: relative to the data set, with forward slashes.

    Raises:
        ValueError: the image is in another folder, or its name does not follow the standard.
    """
    *folders, file = path.split("/")
    name = parse(file)
    wanted = [f"{key}-{name.entities[key]}" for key in ("sub", "ses") if key in name.entities]
    if folders[:-1] != wanted:
        raise ValueError(f"{path!r} is in the wrong folder: its name requires {'/'.join(wanted)}/<datatype>")
    return name


def derivative_path(path: str, label: str = DESCRIPTION) -> str:
    """Return the path of the result of an image, without extension.

    Args:
        path: path of the image, relative to its data set: sub-01/anat/sub-01_T1w.nii.gz.
        label: label of the entity desc, appended to that of the image, if any.

    Returns:
        A path relative to the data set of derivatives: sub-01/anat/sub-01_desc-brainsr_T1w.

    Raises:
        ValueError: as `check_place`.
    """
    name = check_place(path)
    described = {**name.entities, "desc": name.entities.get("desc", "") + label}
    last = {key: label for key, label in described.items() if key != "desc"} | {"desc": described["desc"]}
    return str(PurePosixPath(path).with_name(BidsName(last, name.suffix, name.extension).stem))
