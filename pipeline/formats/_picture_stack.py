"""Decode 2-D pictures, and stack them as an Image: one slice per grey picture, three per coloured one."""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as PillowImage

from pipeline.errors import UserError
from pipeline.image.channels import COLOURS, slice_title
from pipeline.image.foreground import picture_foreground
from pipeline.image.geometry import Orientation
from pipeline.image.header import FileHeader
from pipeline.image.image import Block, Image, Slicing
from pipeline.image.intensity import IntensityMap, IntensityRange, intensity_range
from pipeline.image.stack import PLANE, SLICE_AXIS, UNIT, Stack, stacked

MAX_JPEG_ROUNDING = 2
"""Maximum difference of the channels, of 255, of a grey JPEG picture stored as RGB.

A conversion to YCbCr and back rounds every channel (ITU-T T.871). PNG is lossless: the channels of grey are equal.
"""
GREY_AXES = 2
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_BIT_DEPTH, PNG_COLOUR_TYPE = 24, 25
"""Offsets of bit depth and colour type (0 is grey) in a PNG (RFC 2083, 4.1.1)."""
BYTE = 8
DEEP = 16
"""Bit depth that Pillow keeps for grey pictures, but not for colours or transparency."""
DEEP_MODES = ("I", "I;16", "I;16B")
"""Modes of Pillow for 16-bit grey pictures."""
OPAQUE = 255
PLANE_AXES = 2
JFIF_UNITS = (1, 2)
"""Of densities that are resolutions, per inch and per cm (JFIF 1.02); others are a ratio of the sides of pixels."""
DOTS_PER_INCH = {2: 1.0, 3: 2.54}
"""By the ResolutionUnit of EXIF: inch and centimetre."""
EXCHANGED = (5, 6, 7, 8)
"""Orientations of EXIF that exchange rows and columns."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PictureStackHeader(FileHeader):
    """The pictures of a collection, so that each is written like its file.

    Attributes:
        names: of the pictures.
        sizes: columns and rows of each.
        samples: number of slices of each: one if it is grey, three if it is coloured.
    """

    format: str = "tiff_stack"
    orientation: Orientation | None = None
    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    samples: tuple[int, ...]


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        values: grey ones, shape (rows, columns), uint8 or uint16, or RGB, uint8, shape (rows, columns, 3).
        dots_per_inch: along columns and rows; None if the file does not state them.
        is_coloured: whether it has colours; RGB whose channels are equal, up to the rounding of JPEG, has none.
    """

    values: NDArray
    dots_per_inch: tuple[float, float] | None
    is_coloured: bool


def decoded(name: str, content: bytes) -> Picture:
    """Decode a JPEG or PNG picture, and apply its EXIF Orientation.

    Args:
        name: for messages.
        content: of the file.

    Raises:
        UserError: it cannot be decoded, contains several pictures, or its values are not intensities.
    """
    try:
        with warnings.catch_warnings(), PillowImage.open(io.BytesIO(content), formats=("JPEG", "PNG")) as stored:
            warnings.simplefilter("ignore")
            dots_per_inch = _dots_per_inch(stored)
            count = getattr(stored, "n_frames", 1)
            if count > 1:
                raise UserError(f"{name}: contains {count} pictures; save the one that is meant as a file of its own.")
            if stored.mode == "CMYK":
                raise UserError(f"{name}: its pixels are amounts of ink (CMYK); save it as grey or RGB.")
            picture = ImageOps.exif_transpose(stored)
            if picture.mode in DEEP_MODES:
                values = np.asarray(picture).astype(np.uint16)
                _tell_opacity(name, values != picture.info.get("transparency"))
                return Picture(values, dots_per_inch, False)
            if content.startswith(PNG_SIGNATURE) and content[PNG_BIT_DEPTH] == DEEP:
                raise UserError(
                    f"{name}: of its {DEEP} bits per value, reading PNG would keep 8. Save it as TIFF, or as grey PNG."
                )
            if content.startswith(PNG_SIGNATURE) and content[PNG_COLOUR_TYPE] == 0:
                _check_bits(name, content[PNG_BIT_DEPTH])
            if picture.has_transparency_data:
                _tell_opacity(name, np.asarray(picture.convert("RGBA").getchannel("A")) == OPAQUE)
            grey = picture.mode in ("1", "L", "LA")
            values = np.asarray(picture.convert("L" if grey else "RGB"))
            tolerance = 0 if content.startswith(PNG_SIGNATURE) else MAX_JPEG_ROUNDING
            return Picture(values, dots_per_inch, _is_coloured(values, tolerance))
    except UnidentifiedImageError as error:
        what = "it is no PNG or JPEG file, or a damaged one"
        raise UserError(f"{name}: cannot be read as a picture ({what}). Replace or remove it.") from error
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError) as error:
        raise UserError(f"{name}: cannot be read as a picture ({error}). Replace or remove it.") from error


def _check_bits(name: str, bits: int) -> None:
    """Check that grey values have more than 1 bit; warn if fewer than 8 bits are scaled to 8."""
    if bits == 1:
        raise UserError(f"{name}: its pixels have 1 bit, black or white, and are not intensities; save it as grey.")
    if bits < BYTE:
        factor = OPAQUE // (2**bits - 1)
        logger.warning("%s: its grey values of %d bits are scaled to 8 bits (times %d)", name, bits, factor)


def _tell_opacity(name: str, opaque: NDArray[np.bool_]) -> None:
    """Warn about pixels that are not opaque; their opacity (alpha) is left out."""
    count = int(opaque.size - np.count_nonzero(opaque))
    if count:
        text = "%s: %d of %d pixels are not opaque; the opacity (alpha) of pixels is left out"
        logger.warning(text, name, count, opaque.size)


def _dots_per_inch(stored: PillowImage.Image) -> tuple[float, float] | None:
    """Return the resolution of the displayed columns and rows; None if the file states none.

    A JPEG file states it in the JFIF header or else in EXIF, of which Pillow assumes 72 where both are silent.
    """
    exif, dpi = stored.getexif(), stored.info.get("dpi")
    if stored.format != "PNG" and stored.info.get("jfif_unit") not in JFIF_UNITS:
        scale = DOTS_PER_INCH.get(exif.get(ExifTags.Base.ResolutionUnit, 0))
        tags = (ExifTags.Base.XResolution, ExifTags.Base.YResolution)
        dpi = [scale * exif[tag] for tag in tags if tag in exif] if scale else []
    stated = [float(number) for number in dpi or ()]
    if len(stated) != PLANE_AXES or not all(math.isfinite(number) and number > 0 for number in stated):
        return None
    x, y = stated
    return (y, x) if exif.get(ExifTags.Base.Orientation) in EXCHANGED else (x, y)


def _is_coloured(values: NDArray, tolerance: int) -> bool:
    """Return whether the channels of a picture differ by more than a tolerance anywhere."""
    if values.ndim == GREY_AXES:
        return False
    signed = values.astype(np.int16)
    return bool(np.any(signed.max(axis=2) - signed.min(axis=2) > tolerance))


def as_grey(picture: NDArray) -> NDArray:
    """Return the luma (ITU-R 601-2) of a picture, shape (rows, columns); a grey picture is returned as it is."""
    return picture if picture.ndim == GREY_AXES else np.asarray(PillowImage.fromarray(picture).convert("L"))


def read_picture(name: str, content: bytes) -> NDArray:
    """Decode a JPEG or PNG picture; arguments and errors as `decoded`.

    Returns:
        Grey values, shape (rows, columns), uint8 or uint16; of a coloured picture RGB, uint8, shape (rows, columns, 3).
    """
    picture = decoded(name, content)
    return picture.values if picture.is_coloured else as_grey(picture.values)


def read_all(contents: Iterable[tuple[str, bytes]]) -> dict[str, NDArray]:
    """Decode pictures by name; see `read_picture`.

    Raises:
        UserError: one cannot be decoded.
    """
    return {name: read_picture(name, content) for name, content in contents}


def stack_image(pictures: Mapping[str, NDArray], min_foreground: float, foreground: str = "head") -> Image:
    """Stack the pictures of a collection as an extracted volume.

    Args:
        pictures: by name, grey, shape (rows, columns), or coloured, shape (rows, columns, 3); all uint8 or all uint16.
        min_foreground: pictures with a smaller foreground fraction are neither used for training nor evaluated.
        foreground: "head", or "all" if the whole picture is foreground.

    Returns:
        Intensities normalised picture by picture, as volumes are; the masks "foreground" and "picture"
        (where there is a picture); in the stack, for every slice, its name, class (the folder it lies in) and size
        (columns, rows). Where there are colours, each is a slice: see `pipeline.image.channels`.

    Raises:
        UserError: the pictures differ in depth, or none has enough foreground.
    """
    dtype = _common_depth(pictures)
    names, sections, arrays, foregrounds, ranges = [], [], [], [], []
    for section, (name, picture) in enumerate(pictures.items()):
        channels = [picture] if picture.ndim == GREY_AXES else list(np.moveaxis(picture, -1, 0))
        mask = np.ones(picture.shape[:2], dtype=bool) if foreground == "all" else picture_foreground(as_grey(picture))
        names += [slice_title(name, colour) for colour in (COLOURS if len(channels) > 1 else ("",))]
        sections += [section] * len(channels)
        arrays += channels
        foregrounds += [mask] * len(channels)
        ranges += [_range_of(picture, mask)] * len(channels)
    chosen = np.flatnonzero(np.array([mask.mean() for mask in foregrounds]) >= min_foreground)
    if chosen.size == 0:
        raise UserError(
            f"none of {len(pictures)} pictures has {100 * min_foreground:.0f} % foreground (extract.min_foreground)."
        )
    sizes = tuple((int(picture.shape[1]), int(picture.shape[0])) for picture in pictures.values())
    masks = {
        "foreground": stacked(foregrounds),
        "picture": stacked([np.ones(picture.shape, dtype=bool) for picture in arrays]),
    }
    offsets, scales = (tuple(one) for one in zip(*ranges, strict=True))
    intensity = IntensityMap(offset=offsets, scale=scales, dtype=dtype)
    stack = Stack(
        sections=tuple(sections) if len(sections) > len(pictures) else None,
        names=tuple(names),
        classes=tuple(PurePosixPath(list(pictures)[section]).parent.name for section in sections),
        sizes=tuple(sizes[section] for section in sections),
    )
    block = Block(
        slices=(0, len(pictures)),
        foreground_slices=tuple(chosen.tolist()),
        foreground_fraction=float(masks["foreground"].sum() / masks["picture"].sum()),
        stored_minimum=float(min(picture.min() for picture in arrays)),
    )
    # The padding of smaller pictures is as dark as their background.
    normalised = np.where(masks["picture"], intensity.normalise(stacked(arrays)), np.float32(0))
    header = PictureStackHeader(names=tuple(pictures), sizes=sizes, samples=tuple(np.bincount(sections).tolist()))
    return Image(
        normalised,
        np.eye(4),
        intensity,
        UNIT,
        header,
        masks,
        slicing=Slicing(PLANE, SLICE_AXIS),
        stack=stack,
        block=block,
    )


def _range_of(picture: NDArray, mask: NDArray[np.bool_]) -> IntensityRange:
    """Return the intensity range of a picture, which its colours share; 0 to 1 for a constant picture."""
    foreground = mask if mask.any() else np.ones_like(mask)
    colours = foreground if picture.ndim == GREY_AXES else np.repeat(foreground[..., None], picture.shape[-1], axis=-1)
    try:
        return intensity_range(picture.astype(np.float32), colours)
    except UserError:
        return IntensityRange(0.0, 1.0)


def _common_depth(pictures: Mapping[str, NDArray]) -> str:
    depths = {name: picture.dtype.name for name, picture in pictures.items()}
    first, *others = depths.items()
    other = next((one for one in others if one[1] != first[1]), None)
    if other:
        raise UserError(
            f"{first[0]} is {first[1]} and {other[0]} is {other[1]}; pictures of one collection must be of one depth."
        )
    return first[1]
