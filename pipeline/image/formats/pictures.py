"""A stack of grey pictures (PNG, JPEG) in a folder or zip archive: one picture a slice, written as OME-TIFF.

The pictures follow each other in the natural order of their names: 2.png before 10.png. All have one size. Pictures
that have nothing to do with each other are no stack: they are a collection (key `collections`).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.image.formats import Part
from pipeline.image.formats import tiff as _tiff
from pipeline.image.formats._checks import check_size
from pipeline.image.formats._plain import plain_image
from pipeline.image.formats.picture import grey
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.pictures import decoded
from pipeline.sources.packing import is_picture, opened

SUFFIXES = ()
WRITTEN = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
TITLE = "a stack of pictures"

write = _tiff.write


def accepts(path: Path) -> bool:
    """Says whether a folder or an archive holds pictures."""
    with opened(path) as bundle:
        return any(is_picture(name) for name in bundle.sizes)


def read(path: Path, part: Part = Part()) -> Image:
    """Reads a stack, axes x, y and z, stored intensities as float64.

    Raises:
        UserError: there is no picture, one is damaged or coloured, or they differ in size or depth.
    """
    part.check(path, TITLE, ("channel", "voxel_um"))
    with opened(path) as bundle:
        names = sorted((name for name in bundle.sizes if is_picture(name)), key=natural)
        if not names:
            raise UserError(f"{path}: holds no pictures.")
        sections, channel = [], ""
        for name in names:
            values, _ = decoded(f"{path}: {name}", bundle.read(name))
            section, channel = grey(path / name, values, part.channel)
            sections.append(section)
            _check_alike(path, names[0], sections[0], name, section)
            check_size(path, (*section.shape, len(names)), section.itemsize, sum(bundle.sizes.values()))
    origin = {
        "format": "tiff",
        "byte_order": "<" if sys.byteorder == "little" else ">",
        "photometric": "minisblack",
        "channel": channel,
        "states_z": part.voxel_um is not None,
    }
    return plain_image(np.stack(sections), IntensityMap(dtype=sections[0].dtype.name), part.voxel_um, names, origin)


def natural(name: str) -> list[tuple[int, str]]:
    """Returns what names are sorted by, so that numbers in them count as numbers: 2.png before 10.png."""
    return [(int(number or -1), text) for text, number in re.findall(r"(\D*)(\d*)", name)] + [(0, name)]


def _check_alike(path: Path, first_name: str, first: np.ndarray, name: str, other: np.ndarray) -> None:
    for what, one, two in (("size", first.shape, other.shape), ("depth", first.dtype.name, other.dtype.name)):
        if one != two:
            raise UserError(
                f"{path}: {first_name!r} and {name!r} are of different {what}, {one} and {two}, so they are no stack. "
                "Pictures without order are a collection (key collections)."
            )
