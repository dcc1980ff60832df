"""A stack of pictures (PNG, JPEG) in a folder or zip archive: one picture a slice, written as OME-TIFF.

The pictures follow each other in the natural order of their names: 2.png before 10.png. All have one size. Where one
is coloured, the stack is RGB, unless one colour is chosen (`channel`). Pictures that have nothing to do with each other
are no stack: they are a collection (key `collections`).
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
from pipeline.image.formats.picture import channels_of
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.pictures import decoded, is_coloured
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
    """Reads a stack, axes x, y and z, stored intensities as float64; colours are further slices.

    Raises:
        UserError: there is no picture, one is damaged or has no such colour, or they differ in size or depth.
    """
    part.check(path, TITLE, ("channel", "voxel_um"))
    with opened(path) as bundle:
        names = sorted((name for name in bundle.sizes if is_picture(name)), key=natural)
        if not names:
            raise UserError(f"{path}: holds no pictures.")
        pictures = []
        for name in names:
            values, _ = decoded(f"{path}: {name}", bundle.read(name))
            pictures.append(values)
            _check_alike(path, names[0], pictures[0], name, values)
            check_size(path, (*values.shape, len(names)), values.itemsize, sum(bundle.sizes.values()))
    coloured = part.channel is None and any(is_coloured(values) for values in pictures)
    found = [channels_of(path / name, one, part.channel, coloured) for name, one in zip(names, pictures, strict=True)]
    sections, channels = np.stack([section for section, _ in found]), found[0][1]
    origin = {
        "format": "tiff",
        "byte_order": "<" if sys.byteorder == "little" else ">",
        "photometric": "minisblack",
        "coloured": coloured,
        "states_z": part.voxel_um is not None,
    }
    return plain_image(sections, IntensityMap(dtype=sections.dtype.name), part.voxel_um, names, channels, origin)


def natural(name: str) -> list[tuple[int, str]]:
    """Returns what names are sorted by, so that numbers in them count as numbers: 2.png before 10.png."""
    return [(int(number or -1), text) for text, number in re.findall(r"(\D*)(\d*)", name)] + [(0, name)]


def _check_alike(path: Path, first_name: str, first: np.ndarray, name: str, other: np.ndarray) -> None:
    for what, one, two in (("size", first.shape[:2], other.shape[:2]), ("depth", first.dtype.name, other.dtype.name)):
        if one != two:
            raise UserError(
                f"{path}: {first_name!r} and {name!r} are of different {what}, {one} and {two}, so they are no stack. "
                "Pictures without order are a collection (key collections)."
            )
