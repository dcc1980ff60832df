"""One grey picture as PNG or JPEG, written as PNG.

A result of a JPEG is PNG, which loses nothing: to compress a restored picture with loss would undo what was restored.
Pictures of 8 and 16 bits keep their depth; 16-bit colours have 8 bits after reading. Of a coloured picture one colour
is taken (`channel`). How large a pixel is, no picture tells: lengths are in pixels until `voxel_um` is given. What the
file says to printers about its size is kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.image.formats import Part
from pipeline.image.formats._checks import check_is_file
from pipeline.image.formats._colours import chosen_channel, one_colour
from pipeline.image.formats._plain import MICROMETRE, plain_image, plain_sections
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.pictures import COLOUR_LIMIT, decoded

SUFFIXES = (".png", ".jpg", ".jpeg")
WRITTEN = (".png",)
TITLE = "a picture"
GREY_AXES = 2
MICROMETRES_PER_INCH = 25400.0


def read(path: Path, part: Part = Part()) -> Image:
    """Reads a picture as one slice, stored intensities as float64, shape (x, y, 1).

    Raises:
        UserError: the file is missing or damaged, or coloured and no colour was chosen.
    """
    part.check(path, TITLE, ("channel", "voxel_um"))
    check_is_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    values, dots_per_inch = decoded(str(path), content)
    picture, channel = grey(path, values, part.channel)
    origin = {"format": "picture", "channel": channel, "dots_per_inch": dots_per_inch}
    return plain_image(picture[None], IntensityMap(dtype=picture.dtype.name), part.voxel_um, [path.name], origin)


def write(path: Path, image: Image) -> int:
    """Writes one slice as PNG; the same picture always gives the same bytes.

    Returns:
        How many pixels had to be clipped to the dtype's range.

    Raises:
        UserError: there are several slices.
    """
    sections, saturated = plain_sections(image)
    if len(sections) != 1:
        raise UserError(f"{path}: {len(sections)} slices are no picture; write them as TIFF.")
    with replacing(path) as partial:
        PillowImage.fromarray(sections[0]).save(partial, "PNG", **_dots_per_inch(image))
    return saturated


def as_quantity(image: Image) -> Image:
    """Returns values rounded up to whole grey levels: a PNG holds neither floats nor a scale, and zero says "none"."""
    return image.with_data(image.intensity.normalise(np.ceil(image.intensity.to_physical(image.data))))


def grey(path: Path, values: NDArray, channel: int | str | None) -> tuple[NDArray, str]:
    """Returns the grey values of a decoded picture, or one of its colours, and the name of that.

    Args:
        path: for messages.
        values: shape (rows, columns), or (rows, columns, 3) for RGB.
        channel: red, green or blue.

    Raises:
        UserError: it is coloured and no colour was chosen, or grey and a colour was.
    """
    if values.ndim == GREY_AXES:
        chosen_channel(path, 1, (), channel)
        return values, ""
    wide = values.astype(np.int16)
    if channel is None and np.all(wide.max(axis=2) - wide.min(axis=2) <= COLOUR_LIMIT):
        return np.asarray(PillowImage.fromarray(values).convert("L")), ""
    pictures, name = one_colour(path, values[None], channel)
    return pictures[0], name


def _dots_per_inch(image: Image) -> dict[str, Any]:
    """What is written to the file about its size: the true one where it is known, else that of the source, refined."""
    x, y = image.spacing[:2]
    if image.unit == MICROMETRE:
        return {"dpi": (MICROMETRES_PER_INCH / x, MICROMETRES_PER_INCH / y)}
    stated = image.origin["dots_per_inch"]
    return {"dpi": (stated[0] / x, stated[1] / y)} if stated else {}
