"""MetaImage, in one file or with a detached header, read and written through SimpleITK.

One volume of a 4-D image is read. The result is a single 3-D file in millimetres; custom header fields are kept.
"""

from __future__ import annotations

from pathlib import Path

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
from pipeline.image.image import Image

SUFFIXES = (".mha", ".mhd")
WRITTEN = (".mha",)
HEADER = ItkHeader
KIND = Kind("MetaImage", "metaimage", "MetaImageIO")
MAX_HEADER_BYTES = 1 << 20
LAST_FIELD = b"ElementDataFile"
SAME_FILE = "local"
SEVERAL = ("list", "%")
"""Values of ElementDataFile that refer to several files."""
SIZES = ("elementspacing", "elementsize")
UNSUPPORTED_FIELDS = {
    "comment": "",
    "modality": "MET_MOD_UNKNOWN",
    "elementtointensityfunctionslope": "1",
    "elementtointensityfunctionoffset": "0",
}


def read(path: Path, part: Part = Part()) -> Image:
    """Read a volume into canonical order with its stored intensities, in millimetres; errors as `read_itk`."""
    part.check(path, "MetaImage", ("frame",))
    check_is_file(path)
    fields, length = _fields(path)
    image = read_itk(path, part, KIND, _header(path, fields, length))
    warn_of_assumed_spacing(path, fields, SIZES)
    warn_unsupported_fields(path, fields, UNSUPPORTED_FIELDS)
    return image


def write(path: Path, image: Image) -> int:
    """Write a normalised canonical image in the orientation and dtype of its source; see `write_itk`."""
    return write_itk(path, image, KIND, lambda partial: _header(partial, *_fields(partial)))


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields of a header, and its length in bytes."""
    with path.open("rb") as stream:
        text = stream.read(MAX_HEADER_BYTES)
    end = text.find(b"\n", max(text.find(LAST_FIELD), 0)) + 1
    text = text[: end or None]
    return header_fields(text, "="), len(text)


def _header(path: Path, fields: dict[str, str], length: int) -> Header:
    named = fields.get("elementdatafile", SAME_FILE)
    inside = named.lower() == SAME_FILE
    several = named.lower().startswith(SEVERAL[0]) or SEVERAL[1] in named
    compressed = fields.get("compresseddata", "").lower().startswith("t") and "headersize" not in fields
    return Header(
        unit=fields.get("distanceunits", ""),
        data=None if several else path if inside else path.parent / named,
        compressed_from=(length if inside else 0) if compressed else None,
    )
