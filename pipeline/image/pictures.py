"""Decodes 2-D pictures, and makes an Image of those that are grey: one slice a picture."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps

from pipeline.errors import UserError
from pipeline.image.foreground import picture_foreground
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.stack import PLANE, SLICE_AXIS, UNIT, stack_origin, stacked

COLOUR_LIMIT = 16
"""Grey pictures that are stored as RGB differ between their channels by no more, of 255: the rounding of JPEG."""
GREY_AXES = 2
DEPTHS = {"uint8": 255, "uint16": 65535}
"""Stored value that becomes 1.0, by dtype."""


def decoded(name: str, content: bytes) -> tuple[NDArray, tuple[float, float] | None]:
    """Decodes a JPEG or PNG picture.

    Args:
        name: for messages.
        content: of the file.

    Returns:
        Values, turned as the file says: grey ones, shape (rows, columns), uint8 or uint16, or RGB, uint8, shape (rows,
        columns, 3); and the dots per inch along columns and rows, where the file states them.

    Raises:
        UserError: it cannot be decoded.
    """
    try:
        with warnings.catch_warnings(), PillowImage.open(io.BytesIO(content), formats=("JPEG", "PNG")) as stored:
            warnings.simplefilter("ignore")
            dots_per_inch = _dots_per_inch(stored.info)
            picture = ImageOps.exif_transpose(stored)
            if picture.mode in ("I", "I;16", "I;16B"):
                return np.asarray(picture).astype(np.uint16), dots_per_inch
            grey = picture.mode in ("1", "L", "LA")
            return np.asarray(picture.convert("L" if grey else "RGB")), dots_per_inch
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError) as error:
        raise UserError(f"{name}: cannot be read as a picture ({error}). Replace or remove it.") from error


def _dots_per_inch(info: Mapping[Any, Any]) -> tuple[float, float] | None:
    """What a file says about its printed size; None where it says nothing that can be true."""
    stated = [float(number) for number in info.get("dpi", ())]
    return (stated[0], stated[1]) if stated and min(stated) > 0 else None


def read_picture(name: str, content: bytes) -> NDArray | None:
    """Decodes a JPEG or PNG picture that is to be grey; arguments and errors as `decoded`.

    Returns:
        Grey values, shape (rows, columns), uint8 or uint16; None for a coloured picture.
    """
    picture, _ = decoded(name, content)
    if picture.ndim == GREY_AXES:
        return picture
    values = picture.astype(np.int16)
    coloured = np.any(values.max(axis=2) - values.min(axis=2) > COLOUR_LIMIT)
    return None if coloured else np.asarray(PillowImage.fromarray(picture).convert("L"))


def usable(contents: Iterable[tuple[str, bytes]]) -> tuple[dict[str, NDArray], list[str]]:
    """Decodes pictures; returns the grey ones by name, and the names of the coloured ones.

    Raises:
        UserError: one cannot be decoded.
    """
    decoded = {name: read_picture(name, content) for name, content in contents}
    grey = {name: picture for name, picture in decoded.items() if picture is not None}
    return grey, [name for name, picture in decoded.items() if picture is None]


def stack_image(pictures: Mapping[str, NDArray], min_foreground: float, foreground: str = "head") -> Image:
    """Makes an extracted stack of grey pictures.

    Args:
        pictures: grey values by name, shape (rows, columns), all uint8 or all uint16.
        min_foreground: pictures with a smaller fraction of foreground are neither trained on nor measured.
        foreground: "head", or "all" where the whole picture counts.

    Returns:
        Intensities between 0 and 1, where 1.0 is the highest value of the dtype; the masks "foreground" and "picture"
        (where there is a picture); in the facts the names, classes (the folder each lies in) and sizes [columns, rows].

    Raises:
        UserError: the pictures differ in depth, or none has enough foreground.
    """
    names, arrays = list(pictures), list(pictures.values())
    dtype = _common_depth(pictures)
    data = stacked(arrays)
    whole = [np.ones(picture.shape, dtype=bool) for picture in arrays]
    foregrounds = whole if foreground == "all" else [picture_foreground(picture) for picture in arrays]
    fractions = np.array([mask.mean() for mask in foregrounds])
    chosen = np.flatnonzero(fractions >= min_foreground)
    if chosen.size == 0:
        raise UserError(f"none of {len(names)} pictures has {min_foreground:.0%} foreground (extract.min_foreground).")
    sizes = [[picture.shape[1], picture.shape[0]] for picture in arrays]
    masks = {"foreground": stacked(foregrounds), "picture": stacked(whole)}
    intensity = IntensityMap(scale=float(DEPTHS[dtype]), dtype=dtype)
    facts = {
        "plane": PLANE,
        "slice_axis": SLICE_AXIS,
        "slices": [0, len(names)],
        "slice_names": names,
        "slice_classes": [PurePosixPath(name).parent.name for name in names],
        "picture_sizes": sizes,
        "foreground_slices": chosen.tolist(),
        "foreground_fraction": float(masks["foreground"].sum() / masks["picture"].sum()),
        "bias_corrected": False,
        "scale": intensity.scale,
        "scale_percentile": None,
    }
    normalised = data.astype(np.float32) / np.float32(intensity.scale)
    origin = stack_origin(names, sizes)
    return Image(normalised, np.eye(4), intensity, unit=UNIT, origin=origin, masks=masks, facts=facts)


def _common_depth(pictures: Mapping[str, NDArray]) -> str:
    depths = {name: picture.dtype.name for name, picture in pictures.items()}
    first, *others = depths.items()
    other = next((one for one in others if one[1] != first[1]), None)
    if other:
        raise UserError(
            f"{first[0]} is {first[1]} and {other[0]} is {other[1]}; pictures of one collection must be of one depth."
        )
    return first[1]
