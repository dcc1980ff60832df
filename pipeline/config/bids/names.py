"""Names of files in the Brain Imaging Data Structure (Gorgolewski et al., Scientific Data 3:160044, 2016).

Microscopy: Bourget et al., Frontiers in Neuroscience 16:871228, 2022.

A name is a chain of entities (sub-01, ses-02, run-1), then a suffix that tells what kind of image it is:
sub-01_ses-02_run-1_T1w.nii.gz.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

NIFTI_EXTENSIONS = (".nii.gz", ".nii")
MICROSCOPY_EXTENSIONS = (".ome.zarr", ".ome.tif", ".ome.btf", ".tif", ".png")
EXTENSIONS = (*NIFTI_EXTENSIONS, *MICROSCOPY_EXTENSIONS)
"""Of images; a name has the first that fits."""
MICROSCOPY_SUFFIXES = (
    *("TEM", "SEM", "uCT", "BF", "DF", "PC", "DIC", "FLUO", "CONF", "PLI", "CARS", "2PE", "MPE", "SR", "NLO", "OCT"),
    *("SPIM", "XPCT"),
)
"""Suffixes of micrographs."""
LABEL = r"[A-Za-z0-9+]+"
STEM = re.compile(rf"(?P<entities>(?:[A-Za-z0-9]+-{LABEL}_)*)(?P<suffix>[A-Za-z0-9]+)")
DESCRIPTION = "brainsr"
"""Label of the entity desc, by which a result is told from what it was made of."""
ERROR_MAP = "uncertainty"
"""The same of the error map of a result."""


@dataclass(frozen=True)
class BidsName:
    """A file's name, taken apart.

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
    """Return the endings that files of a kind of image have."""
    return MICROSCOPY_EXTENSIONS if suffix in MICROSCOPY_SUFFIXES else NIFTI_EXTENSIONS


def parse_stem(stem: str) -> tuple[dict[str, str], str]:
    """Take a name without its extension apart.

    Returns:
        Labels by key, in the order of the name, and the suffix.

    Raises:
        ValueError: it does not follow the standard.
    """
    match = STEM.fullmatch(stem)
    pairs = [pair.split("-", 1) for pair in match["entities"].split("_")[:-1]] if match else []
    entities = dict(pairs)
    if match is None or len(entities) < len(pairs):
        raise ValueError(f"{stem!r} is no BIDS name")
    return entities, match["suffix"]


def parse(name: str) -> BidsName:
    """Take the name of an image apart.

    Raises:
        ValueError: it does not follow the standard; the message says what it should look like.
    """
    extension = next((one for one in EXTENSIONS if name.endswith(one)), "")
    try:
        entities, suffix = parse_stem(name.removesuffix(extension))
    except ValueError:
        entities, suffix = {}, ""
    if not extension or next(iter(entities), "") != "sub":
        raise ValueError(f"{name!r} is no BIDS name of an image, such as sub-01_ses-02_T1w.nii.gz")
    return BidsName(entities, suffix, extension)


def check_place(path: str) -> BidsName:
    """Check that an image lies in the folders that its name says, such as sub-01/ses-02/anat.

    Args:
        path: relative to the data set, with forward slashes.

    Raises:
        ValueError: it does not, or its name does not follow the standard.
    """
    *folders, file = path.split("/")
    name = parse(file)
    wanted = [f"{key}-{name.entities[key]}" for key in ("sub", "ses") if key in name.entities]
    if folders[:-1] != wanted:
        raise ValueError(f"{path!r} does not lie where its name says, in {'/'.join(wanted)}/<kind of data>")
    return name


def derivative_path(path: str, label: str = DESCRIPTION) -> str:
    """Return where the result made of an image goes, without an extension.

    Args:
        path: of the image, relative to its data set: sub-01/anat/sub-01_T1w.nii.gz.
        label: of the entity desc, put behind the one that the image has.

    Returns:
        A path relative to the data set of derivatives: sub-01/anat/sub-01_desc-brainsr_T1w.

    Raises:
        ValueError: as `check_place`.
    """
    name = check_place(path)
    described = {**name.entities, "desc": name.entities.get("desc", "") + label}
    last = {key: label for key, label in described.items() if key != "desc"} | {"desc": described["desc"]}
    return str(PurePosixPath(path).with_name(BidsName(last, name.suffix, name.extension).stem))
