"""A stack of pictures (PNG, JPEG) in a folder or zip archive: one picture per slice, written as OME-TIFF.

The slices are in the natural order of their names, which the log states: a_2, a_10, b_1. All have one size. Where one
is coloured, the stack is RGB, unless one colour is chosen (`channel`). Pictures that have nothing to do with each other
are no stack: they are a collection (key `collections`).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.formats import Part, format_by_name
from pipeline.formats import tiff as _tiff
from pipeline.formats._checks import check_size
from pipeline.formats._picture_stack import decoded
from pipeline.formats._plain import plain_image
from pipeline.formats._tiff_file import GREY
from pipeline.formats.picture import channels_of
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.sources.bundle import is_picture, listed, opened, other_files

SUFFIXES = ()
WRITTEN = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
TITLE = "a stack of pictures"
NUMBERS = re.compile(r"(\d+)")
OTHER_IMAGES = (
    ".avif",
    ".bmp",
    ".czi",
    ".gif",
    ".heic",
    ".jp2",
    ".jxl",
    ".lif",
    ".nd2",
    ".pbm",
    ".pgm",
    ".ppm",
    ".webp",
)
"""Suffixes of image formats that are not supported."""

logger = logging.getLogger(__name__)

write = _tiff.write
HEADER = _tiff.TiffHeader


def accepts(path: Path) -> bool:
    """Return whether a folder or an archive contains pictures."""
    with opened(path) as bundle:
        return any(is_picture(name) for name in bundle.sizes)


def read(path: Path, part: Part = Part()) -> Image:
    """Read a stack, axes x, y and z, stored intensities as float64; colours are further slices.

    Raises:
        UserError: there is no picture, one is damaged or has no such colour, or they differ in size or depth.
    """
    part.check(path, TITLE, ("channel", "voxel_um"))
    with opened(path) as bundle:
        names = sorted((name for name in bundle.sizes if is_picture(name)), key=natural)
        if not names:
            raise UserError(f"{path}: contains no pictures.")
        _check_others(path, bundle.sizes)
        logger.info("%s: %d slices in the order of their names, from %s to %s", path, len(names), names[0], names[-1])
        pictures, coloured = [], False
        for name in names:
            values, _, is_coloured = decoded(f"{path}: {name}", bundle.read(name))
            pictures.append(values)
            coloured = coloured or is_coloured
            _check_alike(path, names[0], pictures[0], name, values)
            check_size(path, (*values.shape, len(names)), values.itemsize, sum(bundle.sizes.values()))
    coloured = coloured and part.channel is None
    found = [channels_of(path / name, one, part.channel, coloured) for name, one in zip(names, pictures, strict=True)]
    sections, channels = np.stack([section for section, _ in found]), found[0][1]
    header = _tiff.TiffHeader(
        title=TITLE,
        byte_order="<" if sys.byteorder == "little" else ">",
        photometric=GREY,
        coloured=coloured,
        states_z=part.voxel_um is not None,
    )
    return plain_image(sections, IntensityMap(dtype=sections.dtype.name), part.voxel_um, names, channels, header)


def natural(name: str) -> tuple[Any, ...]:
    """Return the key for natural sorting: numbers by value, folder by folder (2.png before 10.png)."""
    parts = PurePosixPath(name.casefold()).with_suffix("").parts
    return (*([int(piece) if piece.isdecimal() else piece for piece in NUMBERS.split(part)] for part in parts), [name])


def _check_others(path: Path, names: Iterable[str]) -> None:
    """Check that a folder contains no images of other formats, and warn about other files.

    Raises:
        UserError: there are images of other formats.
    """
    others = other_files(names)
    images = [name for name in others if name.lower().endswith(OTHER_IMAGES) or format_by_name(name) is not None]
    if images:
        raise UserError(
            f"{path}: of its images, only PNG and JPEG are read as a stack of pictures, not {listed(images)}. Save "
            "all slices in one format, or move these files to another folder."
        )
    if others:
        logger.warning("%s: files that are not pictures are ignored: %s", path, listed(others))


def _check_alike(path: Path, first_name: str, first: np.ndarray, name: str, other: np.ndarray) -> None:
    for what, one, two in (("size", first.shape[:2], other.shape[:2]), ("depth", first.dtype.name, other.dtype.name)):
        if one != two:
            raise UserError(
                f"{path}: {first_name!r} and {name!r} have different {what}, {one} and {two}, so they are not a stack. "
                "Pictures without order are a collection (key collections)."
            )
