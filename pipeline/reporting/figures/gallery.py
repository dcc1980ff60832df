"""Static images of a volume page: all methods on the same slices, with one intensity window and one error scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.baselines import nearest
from pipeline.image.channels import COLOURS, colour_slices
from pipeline.image.image import Image
from pipeline.image.lengths import MILLIMETRES, lengths_in_words
from pipeline.image.slices import evenly_spaced
from pipeline.physics.grid import crop_to
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.figures.slices import (
    LONGEST_SIDE,
    PLANE_EDGES,
    Box,
    bounding_box,
    colour_bar,
    data_uri,
    detail_box,
    display_slice,
    display_spacing,
    fit,
    to_colour,
    to_grey,
)
from pipeline.reporting.numbers import format_number

LOW, REFERENCE = "low", "reference"
TITLES = {LOW: "Low-resolution input", REFERENCE: "Reference"}
WHITE_PERCENTILE, ERROR_PERCENTILE = 99.5, 99.5
BUDGET_BYTES = 5_000_000
"""Maximum size of lossless images; larger galleries are stored with loss, so that the page can be sent by mail."""
LOSSY_QUALITY = 80
MAX_BAR_SHARE = 1 / 3
"""Maximum length of the scale bar, as a share of the width of an image."""

Displayed = Mapping[str, Sequence[NDArray]]


@dataclass(frozen=True)
class MethodImages:
    """Images of one method on one slice, as data URIs; `error` is empty for the input and the reference."""

    method: str
    title: str
    whole: str
    detail: str
    error: str


@dataclass(frozen=True)
class GallerySlice:
    """One slice: its images, and the frame of its detail (left, top, width and height in percent of the image)."""

    index: int
    label: str
    images: tuple[MethodImages, ...]
    frame: tuple[float, float, float, float]
    detail_aspect: float


@dataclass(frozen=True)
class Gallery:
    """All static images of a page.

    Attributes:
        slices: displayed slices.
        aspect: width over height of the images in physical units.
        edges: letters at the left, right, upper and lower edge; empty without a known orientation.
        white: intensity displayed as white in the units of the file, for each channel with its own range.
        window: intensity displayed as white, normalised.
        error_top: error with the brightest colour, as a fraction of the normalised range.
        bar: image of the colour bar from zero to `error_top`.
        lossless: whether the images are stored without loss.
        averaged: whether whole slices were averaged down.
        scale: length of the scale bar in words, and as a share of the width of whole slices; None where the voxel size
            is unknown.
    """

    slices: tuple[GallerySlice, ...]
    aspect: float
    edges: tuple[str, ...]
    white: str
    window: float
    error_top: float
    bar: str
    lossless: bool
    averaged: bool
    scale: tuple[str, float] | None = None

    @property
    def size_bytes(self) -> int:
        """Size of the images in the page."""
        images = [image for one in self.slices for image in one.images]
        return sum(len(image.whole) + len(image.detail) + len(image.error) for image in images)


def is_stack(reference: Image) -> bool:
    """Return whether the slices are unordered pictures without a known orientation."""
    return reference.stack.is_collection


def choose_slices(reference: Image, count: int) -> list[int]:
    """Return evenly spaced slices with enough foreground; of RGB pictures, the green slices."""
    return evenly_spaced(reference.stack.one_a_picture(reference.block.foreground_slices), count)


def selected_slices(volume: NDArray, reference: Image, indices: Sequence[int]) -> list[NDArray]:
    """Extract some slices of a volume on the grid of `reference` in display orientation."""
    return [display_slice(volume, reference.slice_axis, index) for index in indices]


def with_colours(slices: NDArray, index: int, colours: int) -> NDArray:
    """Copy a displayed slice, with all colours of an RGB picture.

    Args:
        slices: displayed slices, shape (slices, rows, columns).
        index: index of the slice.
        colours: number of colours, see `colours_of`.

    Returns:
        Shape (rows, columns), or (rows, columns, 3).
    """
    if colours == 1:
        return slices[index].copy()
    return np.stack([slices[one] for one in colour_slices(index, colours)], axis=-1)


def grey(displayed: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean over the colours of a displayed slice, shape (rows, columns); a grey slice is unchanged."""
    return displayed.mean(axis=-1) if displayed.shape[2:] else displayed


def absolute_error(displayed: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the absolute difference of two displayed slices, averaged over colours."""
    return grey(np.abs(displayed - reference))


def slice_label(index: int, reference: Image) -> str:
    """Return the label of a slice: its index in the block and in the file, or the file name of a picture."""
    if reference.stack.names:
        return reference.stack.names[index]
    start = reference.block.start
    return f"Slice {index}" if start == 0 else f"Slice {index} of the block, {start + index} of the volume"


def picture_label(index: int, reference: Image) -> str:
    """Return the label of a slice, or of the whole picture if the slice is one of its three colours."""
    name = slice_label(index, reference)
    if reference.stack.colours == 1:
        return name
    colour = COLOURS[index % len(COLOURS)]
    title = name.removesuffix(colour).removesuffix(", ")
    return title or f"Picture {reference.stack.section_of(index)}"


def format_white_level(white: float, reference: Image) -> str:
    """Format the intensity displayed as white in the units of the file, for each channel with its own range.

    Args:
        white: normalised intensity displayed as white.
        reference: extracted volume.
    """
    if reference.stack.is_collection:
        return f"{format_number(white)} times the intensity range of each picture"
    intensity = reference.intensity
    ranges = zip(np.atleast_1d(intensity.offset), np.atleast_1d(intensity.scale), strict=True)
    physical = [format_number(offset + white * scale) for offset, scale in ranges]
    if len(physical) == 1:
        return physical[0]
    return ", ".join(f"{value} ({name})" for value, name in zip(physical, reference.stack.channels, strict=True))


def repeat_voxels(low: LowResolutionImage, reference: Image) -> NDArray[np.float32]:
    """Repeat every low-resolution voxel over the high-resolution voxels it covers, cropped to `reference`."""
    return crop_to(nearest.upsample(low.data, low.forward_model, {}), reference.data.shape)


def build_gallery(
    reference: Image, indices: Sequence[int], displayed: Displayed, titles: Mapping[str, str], scale: str
) -> Gallery:
    """Create all static images, lossless if they fit the size budget.

    Args:
        reference: extracted volume with its foreground.
        indices: displayed slices.
        displayed: displayed slices by method, including `LOW` and `REFERENCE`, normalised.
        titles: titles of the methods.
        scale: method whose errors define the error scale.
    """
    gallery = _build(reference, indices, displayed, titles, scale=scale, quality=None)
    return (
        gallery
        if gallery.size_bytes <= BUDGET_BYTES
        else _build(reference, indices, displayed, titles, scale=scale, quality=LOSSY_QUALITY)
    )


def _build(
    reference: Image,
    indices: Sequence[int],
    displayed: Displayed,
    titles: Mapping[str, str],
    *,
    scale: str,
    quality: int | None,
) -> Gallery:
    masks = selected_slices(reference.masks["foreground"], reference, indices)
    box = bounding_box(masks)
    spacing = display_spacing(reference.spacing, reference.slice_axis)
    inside = np.concatenate([one[mask] for one, mask in zip(displayed[REFERENCE], masks, strict=True)])
    white = float(np.percentile(inside, WHITE_PERCENTILE))
    top = error_scale(displayed[scale], displayed[REFERENCE], masks)
    slices = []
    for place, index in enumerate(indices):
        detail = detail_box(grey(displayed[REFERENCE][place]), masks[place], box, spacing)
        display = Display(box, detail, white, top, quality)
        images = tuple(
            display.images(method, titles.get(method, method), displayed[method][place], displayed[REFERENCE][place])
            for method in displayed
        )
        height, width = (size * step for size, step in zip(detail.shape, spacing, strict=True))
        slices.append(
            GallerySlice(
                index, picture_label(index, reference), images, frame_of(detail, box), round(width / height, 4)
            )
        )
    height, width = (size * step for size, step in zip(box.shape, spacing, strict=True))
    return Gallery(
        slices=tuple(slices),
        aspect=round(width / height, 4),
        edges=PLANE_EDGES.get(reference.plane, ()),
        white=format_white_level(white, reference),
        window=white,
        error_top=top,
        bar=data_uri(colour_bar()),
        lossless=quality is None,
        averaged=max(box.shape) > LONGEST_SIDE,
        scale=scale_bar(width, reference),
    )


def scale_bar(width: float, reference: Image) -> tuple[str, float] | None:
    """Return the longest scale bar of 1, 2 or 5 times a power of ten that covers at most a third of an image's width.

    Args:
        width: width of the image, in the unit of the reference.
        reference: extracted volume.

    Returns:
        Its length in words, and as a share of the width; None where the voxel size is unknown.
    """
    if reference.spacing_mm is None:
        return None
    width_mm = width * MILLIMETRES[reference.unit]
    power = 10.0 ** math.floor(math.log10(width_mm * MAX_BAR_SHARE))
    length = max(digit * power for digit in (1, 2, 5) if digit * power <= width_mm * MAX_BAR_SHARE)
    return lengths_in_words([length], like=reference.spacing_mm), length / width_mm


@dataclass(frozen=True)
class Display:
    """Crop, detail, intensity window, error scale and quality of the images of a slice."""

    box: Box
    detail: Box
    white: float
    error_top: float
    quality: int | None

    def images(self, method: str, title: str, displayed: NDArray, reference: NDArray) -> MethodImages:
        """Return the images of one method on one displayed slice."""
        whole = to_grey(fit(self.box.cut(displayed)), 0.0, self.white)
        detail = to_grey(self.detail.cut(displayed), 0.0, self.white)
        error = ""
        if method not in TITLES:
            difference = absolute_error(self.box.cut(displayed), self.box.cut(reference))
            error = data_uri(to_colour(fit(difference), self.error_top), self.quality)
        return MethodImages(method, title, data_uri(whole, self.quality), data_uri(detail, self.quality), error)


def error_scale(
    estimates: Sequence[NDArray], references: Sequence[NDArray], masks: Sequence[NDArray[np.bool_]]
) -> float:
    """Return the error with the brightest colour: a high percentile over the foreground, rounded up to 1 %."""
    errors = [
        absolute_error(one, reference)[mask] for one, reference, mask in zip(estimates, references, masks, strict=True)
    ]
    return float(np.ceil(100 * np.percentile(np.concatenate(errors), ERROR_PERCENTILE)) / 100) or 0.01


def frame_of(detail: Box, box: Box) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a detail in percent of the displayed box."""
    rows, columns = box.shape
    return (
        round(100 * (detail.left - box.left) / columns, 2),
        round(100 * (detail.top - box.top) / rows, 2),
        round(100 * detail.shape[1] / columns, 2),
        round(100 * detail.shape[0] / rows, 2),
    )
