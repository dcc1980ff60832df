"""Pictures of a collection as multi-page TIFF: one page per picture, with its own size, named like its file.

Coloured pictures are RGB pages. This is how BrainSR writes its results of collections. Other TIFF files are of the
format `tiff`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.formats import Part
from pipeline.formats._checks import first_line, header_of
from pipeline.formats._picture_stack import PictureStackHeader
from pipeline.formats._tiff_file import DAMAGE
from pipeline.image.channels import COLOURS
from pipeline.image.image import Image, Slicing
from pipeline.image.intensity import IntensityMap
from pipeline.image.stack import PLANE, SLICE_AXIS, UNIT, one_slice, stacked

HEADER = PictureStackHeader
SUFFIXES = ()
WRITTEN = (".tiff",)
PAGE_NAME = 285
"""Number of the tag PageName (TIFF 6.0, section 12), which contains the name of the picture's file."""
GREY_AXES, RGB_AXES = 2, 3
TEXT = 2
"""Number of the tag type; names are written as UTF-8, as most programs do."""


def read(path: Path, part: Part = Part()) -> Image:
    """Read a stack that `write` wrote: stored intensities (float64), axes x, y and slice; three slices per RGB page.

    Raises:
        UserError: the file is missing, damaged, or no stack of pictures.
    """
    part.check(path, "a collection of pictures", ())
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    try:
        with tifffile.TiffFile(path) as file:
            pages: Any = file.pages
            names = [_name_of(page) for page in pages]
            pictures = [page.asarray() for page in pages]
    except (*DAMAGE, ImportError) as error:
        raise UserError(f"{path}: cannot be read as TIFF ({first_line(error)}). Is it complete?") from error
    if not pictures or None in names or any(not _is_picture(picture) for picture in pictures):
        raise UserError(f"{path}: is not a stack of pictures written by BrainSR.")
    dtype = pictures[0].dtype.name
    sizes = tuple((picture.shape[1], picture.shape[0]) for picture in pictures)
    slices = [colour for picture in pictures for colour in np.atleast_3d(picture).transpose(2, 0, 1)]
    samples = [picture.shape[2] if picture.ndim == RGB_AXES else 1 for picture in pictures]
    return Image(
        data=stacked(slices).astype(np.float64),
        affine=np.eye(4),
        intensity=IntensityMap(dtype=dtype),
        unit=UNIT,
        header=PictureStackHeader(names=tuple(map(str, names)), sizes=sizes, samples=tuple(samples)),
        slicing=Slicing(PLANE, SLICE_AXIS),
    )


def write(path: Path, image: Image) -> int:
    """Write a normalised stack in the dtype and sizes of its pictures; the same stack always gives the same bytes.

    Returns:
        Number of pixels that were clipped to the range of the dtype.

    Raises:
        UserError: the image has another size than its pictures.
    """
    header = header_of(image, PictureStackHeader)
    widest = [max(size[axis] for size in header.sizes) for axis in (0, 1)]
    if list(image.data.shape) != [*widest, sum(header.samples)]:
        raise UserError(f"{path}: the stack of shape {image.data.shape} has not the size of its pictures {widest}.")
    saturated, first = 0, 0
    with replacing(path) as partial, tifffile.TiffWriter(partial) as file:
        for name, size, samples in zip(header.names, header.sizes, header.samples, strict=True):
            indices = range(first, first + samples)
            slices = [one_slice(image.data, index, size) for index in indices]
            stored, clipped = image.intensity.of_slices(indices).to_stored(np.stack(slices, axis=-1))
            _write_page(file, name, stored[..., 0] if samples == 1 else stored)
            saturated, first = saturated + clipped, first + samples
    return saturated


def _is_picture(page: NDArray) -> bool:
    return page.ndim == GREY_AXES or (page.ndim == RGB_AXES and page.shape[2] == len(COLOURS))


def _name_of(page: Any) -> str | None:
    tag = page.tags.get(PAGE_NAME)
    return None if tag is None else str(tag.value)


def _write_page(file: Any, name: str, picture: NDArray) -> None:
    file.write(
        np.ascontiguousarray(picture),
        photometric="minisblack" if picture.ndim == GREY_AXES else "rgb",
        compression="zlib",
        metadata=None,
        software=False,
        datetime=False,
        extratags=[(PAGE_NAME, TEXT, 0, name.encode(), True)],
    )
