"""One picture as PNG or JPEG, grey or RGB, written as PNG.

A result of a JPEG is PNG, which loses nothing: to compress a restored picture with loss would undo what was restored.
Grey pictures of 8 and 16 bits keep their depth; PNG of 16-bit colours is refused (TIFF contains them). RGB stays RGB,
unless it is grey, or one colour is chosen (`channel`). How large a pixel is, no picture tells: lengths are in pixels
until `voxel_um` is given. The resolution for printing is kept. Lost are opacity (with a warning),
palettes (which become RGB), colour profiles, and texts such as EXIF. Files of several pictures and CMYK are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.formats import Part
from pipeline.formats._checks import check_is_file, header_of
from pipeline.formats._colours import colours_of, wanted_channels
from pipeline.formats._picture_stack import GREY_AXES, as_grey, decoded
from pipeline.formats._plain import MICROMETRE, PlainHeader, plain_image, plain_sections
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SUFFIXES = (".png", ".jpg", ".jpeg")
WRITTEN = (".png",)
TITLE = "a picture"
MICROMETRES_PER_INCH = 25400.0


@dataclass(frozen=True, kw_only=True)
class PictureHeader(PlainHeader):
    """Header of a picture.

    Attributes:
        dots_per_inch: resolution for printing along columns and rows; None if the file states none.
    """

    format: str = "picture"
    dots_per_inch: tuple[float, float] | None = None


HEADER = PictureHeader


def read(path: Path, part: Part = Part()) -> Image:
    """Read a picture as one slice per channel, stored intensities as float64, shape (x, y, 1) or (x, y, 3).

    Raises:
        UserError: the file is missing or damaged, or has no such colour.
    """
    part.check(path, TITLE, ("channel", "voxel_um", "coloured"))
    check_is_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    found = decoded(str(path), content)
    picture, channels = channels_of(path, found.values, part.channel, part.coloured or found.is_coloured)
    header = PictureHeader(coloured=len(channels) > 1, dots_per_inch=found.dots_per_inch)
    intensity = IntensityMap(dtype=picture.dtype.name)
    return plain_image(picture[None], intensity, part.voxel_um, [path.name], channels, header)


def write(path: Path, image: Image) -> int:
    """Write one section as PNG, grey or RGB; the same picture always gives the same bytes.

    Returns:
        Number of pixels that were clipped to the range of the dtype.

    Raises:
        UserError: there are several slices.
    """
    sections, saturated = plain_sections(image)
    if len(sections) != 1:
        raise UserError(f"{path}: {len(sections)} slices are not a picture; write them as TIFF.")
    channels = sections[0]
    picture = channels[0] if len(channels) == 1 else np.ascontiguousarray(np.moveaxis(channels, 0, -1))
    with replacing(path) as partial:
        PillowImage.fromarray(picture).save(partial, "PNG", **_dots_per_inch(image))
    return saturated


def as_quantity(image: Image) -> Image:
    """Round values up to whole grey levels: a PNG stores neither floats nor a scale, and zero means "none"."""
    return image.with_data(image.intensity.normalise(np.ceil(image.intensity.to_physical(image.data))))


def channels_of(path: Path, values: NDArray, channel: int | str | None, coloured: bool) -> tuple[NDArray, list[str]]:
    """Return the channels of a decoded picture, or one of its colours.

    Args:
        path: for messages.
        values: shape (rows, columns), or (rows, columns, 3) for RGB.
        channel: red, green or blue; None for all.
        coloured: whether to return three colours if none is chosen; those of a grey picture are equal.

    Returns:
        Shape (channels, rows, columns), and the names of the colours; one "" for grey.

    Raises:
        UserError: a colour was chosen that the picture has not.
    """
    if values.ndim == GREY_AXES and not coloured:
        wanted_channels(path, 1, (), channel)
        return values[None], [""]
    if not coloured and channel is None:
        return as_grey(values)[None], [""]
    rgb = values if values.ndim > GREY_AXES else np.stack([values] * 3, axis=-1)
    sections, names = colours_of(path, rgb[None], channel, keep=True)
    return sections[0], names


def _dots_per_inch(image: Image) -> dict[str, Any]:
    """Return the resolution to write: the true one if it is known, else that of the source, scaled."""
    x, y = image.spacing[:2]
    if image.unit == MICROMETRE:
        return {"dpi": (MICROMETRES_PER_INCH / x, MICROMETRES_PER_INCH / y)}
    stated = header_of(image, PictureHeader).dots_per_inch
    return {"dpi": (stated[0] / x, stated[1] / y)} if stated else {}
