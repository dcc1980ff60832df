"""NRRD, in one file or with a detached header, read and written through SimpleITK.

Of several volumes (a fourth axis, or a list of them in every voxel) one is taken, and written as a 3-D image: always as
one file, in the space left-posterior-superior and in millimetres, with the keys and values that the file had.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.errors import UserError
from pipeline.formats import Part
from pipeline.formats._checks import check_is_file
from pipeline.formats._itk import (
    Header,
    ItkHeader,
    Kind,
    header_fields,
    read_itk,
    warn_of_assumed_spacing,
    warn_unsupported_fields,
    write_itk,
)
from pipeline.formats._volumes import SPATIAL_AXES
from pipeline.image.image import Image

SUFFIXES = (".nrrd", ".nhdr")
WRITTEN = (".nrrd",)
HEADER = ItkHeader
KIND = Kind("NRRD", "nrrd", "NrrdImageIO")
MAX_HEADER_BYTES = 1 << 20
SPACES = ("right-anterior-superior", "left-anterior-superior", "left-posterior-superior")
"""Anatomical spaces; each may end in "-time"."""
SHORT_SPACES = ("ras", "las", "lps", "rast", "last", "lpst")
FRAME_KINDS = ("list", "time")
COMPRESSED = ("gzip", "gz")
NO_SPACING = "nan"
SEVERAL = ("list", "%")
"""Markers of several files in the field "data file"."""
SKIPS = ("line skip", "lineskip", "byte skip", "byteskip")
SIZES = ("spacings", "space directions")
UNSUPPORTED_FIELDS = {"measurement frame": "", "sample units": "", "sampleunits": "", "thicknesses": ""}

logger = logging.getLogger(__name__)


def read(path: Path, part: Part = Part()) -> Image:
    """Read a volume into canonical order with its stored intensities, in millimetres; errors as `read_itk`."""
    part.check(path, "NRRD", ("frame",))
    check_is_file(path)
    fields, length = _fields(path)
    image = read_itk(path, part, KIND, _header(path, fields, length))
    space = fields.get("space", "").lower()
    if not space.startswith(SPACES) and space not in SHORT_SPACES:
        logger.warning(
            "%s: does not state where left, front and top are (space %s); as in ITK, its axes are assumed to point "
            "to the left, the back and the top",
            path,
            space or "is not stated",
        )
    warn_of_assumed_spacing(path, fields, SIZES)
    warn_unsupported_fields(path, fields, UNSUPPORTED_FIELDS)
    return image


def write(path: Path, image: Image) -> int:
    """Write a normalised canonical image in the orientation and dtype of its source; see `write_itk`."""
    return write_itk(path, image, KIND, lambda partial: _header(partial, *_fields(partial)))


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields of a header, and its length in bytes."""
    with path.open("rb") as stream:
        text, found, _ = stream.read(MAX_HEADER_BYTES).replace(b"\r\n", b"\n").partition(b"\n\n")
    return header_fields(text, ":"), len(text) + len(found)


def _header(path: Path, fields: dict[str, str], length: int) -> Header:
    units = fields.get("space units", fields.get("units", "")).replace('"', " ").split()
    named = fields.get("data file", fields.get("datafile", ""))
    several = named.lower().startswith(SEVERAL[0]) or SEVERAL[1] in named
    data = None if several else path.parent / named if named else path
    compressed = fields.get("encoding", "").lower() in COMPRESSED and not any(skip in fields for skip in SKIPS)
    kinds = fields.get("kinds", "").lower().split()
    if not kinds and NO_SPACING in fields.get("spacings", "").lower().split()[:SPATIAL_AXES]:
        raise UserError(f"{path}: has an axis without a spacing or a kind; add the field kinds.")
    return Header(
        unit=units[0] if units else "",
        data=data,
        compressed_from=(0 if named else length) if compressed else None,
        lists_frames=any(kind in FRAME_KINDS for kind in kinds),
    )
