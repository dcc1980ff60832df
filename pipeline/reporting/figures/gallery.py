"""The pictures of a volume's page: every method on the same slices, in one window and one scale of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.image.channels import COLOURS, with_its_colours
from pipeline.image.image import Image
from pipeline.image.slices import evenly_spaced
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.figures.slices import (
    LONGEST_SIDE,
    PLANE_EDGES,
    Box,
    bounding_box,
    colour_bar,
    data_uri,
    detail_box,
    draw_slice,
    drawn_spacing,
    fit,
    to_colour,
    to_grey,
)

LOW, REFERENCE = "low", "reference"
TITLES = {LOW: "Low resolution, as measured", REFERENCE: "Reference"}
WHITE_PERCENTILE, ERROR_PERCENTILE = 99.5, 99.5
BUDGET_BYTES = 5_000_000
"""Pictures beyond this are stored with loss, so that a page stays small enough to send around."""
LOSSY_QUALITY = 80

Drawn = Mapping[str, Sequence[NDArray]]


@dataclass(frozen=True)
class Picture:
    """One method on one slice; `error` is empty for pictures that are not compared with the reference."""

    method: str
    title: str
    whole: str
    detail: str
    error: str


@dataclass(frozen=True)
class ShownSlice:
    """One slice: its pictures, and where its detail lies (percent of the picture: left, top, width, height)."""

    index: int
    label: str
    pictures: tuple[Picture, ...]
    frame: tuple[float, float, float, float]
    detail_aspect: float


@dataclass(frozen=True)
class Gallery:
    """All pictures of a page.

    Attributes:
        slices: from the first to the last.
        aspect: width over height of the pictures, in millimetres.
        edges: what lies at the left, right, upper and lower edge; nothing where that is not known.
        white: physical intensity that is drawn white; of each channel, where they have ranges of their own.
        window: the same, normalised.
        error_top: error that has the brightest colour, as a share of the normalised range.
        bar: picture of the error colours from zero to `error_top`.
        lossless: whether the pictures hold every grey level that was drawn.
        averaged: whether whole slices were averaged down to fit.
    """

    slices: tuple[ShownSlice, ...]
    aspect: float
    edges: tuple[str, ...]
    white: str
    window: float
    error_top: float
    bar: str
    lossless: bool
    averaged: bool

    @property
    def size_bytes(self) -> int:
        """Bytes that the pictures take in the page."""
        pictures = [picture for one in self.slices for picture in one.pictures]
        return sum(len(picture.whole) + len(picture.detail) + len(picture.error) for picture in pictures)


def is_stack(reference: Image) -> bool:
    """Return whether the slices are pictures without order and without known orientation."""
    return reference.stack.is_collection


def choose_slices(reference: Image, count: int) -> list[int]:
    """Return evenly spaced slices of those with enough foreground; of coloured pictures, their green ones."""
    return evenly_spaced(reference.stack.one_a_picture(reference.block.foreground_slices), count)


def draw_slices(volume: NDArray, reference: Image, indices: Sequence[int]) -> list[NDArray]:
    """Draw some slices of a volume that lies on the grid of `reference`."""
    return [draw_slice(volume, reference.slice_axis, index) for index in indices]


def in_colour(slices: NDArray, index: int, colours: int) -> NDArray:
    """Copy one of drawn slices, with its colours where it has such.

    Args:
        slices: drawn slices, shape (slices, rows, columns).
        index: of the slice.
        colours: see `colours_of`.

    Returns:
        Shape (rows, columns), or (rows, columns, 3).
    """
    if colours == 1:
        return slices[index].copy()
    return np.stack([slices[one] for one in with_its_colours(index, colours)], axis=-1)


def grey(drawn: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean over the colours of a drawn slice, shape (rows, columns); one without colours as it is."""
    return drawn.mean(axis=-1) if drawn.shape[2:] else drawn


def error_of(drawn: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the absolute difference of two drawn slices, the mean over their colours."""
    return grey(np.abs(drawn - reference))


def slice_label(index: int, reference: Image) -> str:
    """Name a slice by its place in the block and, where the block starts later, in the volume of the file.

    A picture has the name of its file.
    """
    if reference.stack.names:
        return reference.stack.names[index]
    start = reference.block.start
    return f"Slice {index}" if start == 0 else f"Slice {index} of the block, {start + index} of the volume"


def picture_label(index: int, reference: Image) -> str:
    """Name a slice, or where it is one of three colours, the picture that they make."""
    name = slice_label(index, reference)
    if reference.stack.colours == 1:
        return name
    colour = COLOURS[index % len(COLOURS)]
    title = name.removesuffix(colour).removesuffix(", ")
    return title or f"Picture {reference.stack.section_of(index)}"


def words_of_white(white: float, reference: Image) -> str:
    """Return the physical intensity that is drawn white, with the names of the channels that have ranges of their own.

    Args:
        white: normalised intensity.
        reference: extracted volume.
    """
    if reference.stack.is_collection:
        return f"{white:.3g} times the range of each picture"
    intensity = reference.intensity
    ranges = zip(np.atleast_1d(intensity.offset), np.atleast_1d(intensity.scale), strict=True)
    physical = [f"{offset + white * scale:.4g}" for offset, scale in ranges]
    if len(physical) == 1:
        return physical[0]
    return ", ".join(f"{value} ({name})" for value, name in zip(physical, reference.stack.channels, strict=True))


def enlarge_pixels(low: LowResolutionImage, reference: Image) -> NDArray[np.float32]:
    """Repeat every low-resolution voxel over the voxels it covers; return the shape of `reference`."""
    enlarged = low.data
    for axis, factor in enumerate(low.forward_model.factors):
        enlarged = np.repeat(enlarged, factor, axis=axis)
    return enlarged[tuple(slice(size) for size in reference.data.shape)]


def build_gallery(
    reference: Image, indices: Sequence[int], drawn: Drawn, titles: Mapping[str, str], scale: str
) -> Gallery:
    """Build all pictures.

    Args:
        reference: extracted volume with its foreground.
        indices: the slices.
        drawn: drawn slices by method, among them `LOW` and `REFERENCE`, normalised intensities, one array a slice.
        titles: of the methods.
        scale: method whose errors fix the scale of all errors.
    """
    gallery = _build(reference, indices, drawn, titles, scale=scale, quality=None)
    return (
        gallery
        if gallery.size_bytes <= BUDGET_BYTES
        else _build(reference, indices, drawn, titles, scale=scale, quality=LOSSY_QUALITY)
    )


def _build(
    reference: Image,
    indices: Sequence[int],
    drawn: Drawn,
    titles: Mapping[str, str],
    *,
    scale: str,
    quality: int | None,
) -> Gallery:
    masks = draw_slices(reference.masks["foreground"], reference, indices)
    box = bounding_box(masks)
    spacing = drawn_spacing(reference.spacing, reference.slice_axis)
    inside = np.concatenate([one[mask] for one, mask in zip(drawn[REFERENCE], masks, strict=True)])
    white = float(np.percentile(inside, WHITE_PERCENTILE))
    top = error_scale(drawn[scale], drawn[REFERENCE], masks)
    slices = []
    for place, index in enumerate(indices):
        detail = detail_box(grey(drawn[REFERENCE][place]), masks[place], box, spacing)
        ink = Ink(box, detail, white, top, quality)
        pictures = tuple(
            ink.picture(method, titles.get(method, method), drawn[method][place], drawn[REFERENCE][place])
            for method in drawn
        )
        height, width = (size * step for size, step in zip(detail.shape, spacing, strict=True))
        slices.append(
            ShownSlice(
                index, picture_label(index, reference), pictures, frame_of(detail, box), round(width / height, 4)
            )
        )
    height, width = (size * step for size, step in zip(box.shape, spacing, strict=True))
    return Gallery(
        slices=tuple(slices),
        aspect=round(width / height, 4),
        edges=PLANE_EDGES.get(reference.plane, ()),
        white=words_of_white(white, reference),
        window=white,
        error_top=top,
        bar=data_uri(colour_bar()),
        lossless=quality is None,
        averaged=max(box.shape) > LONGEST_SIDE,
    )


@dataclass(frozen=True)
class Ink:
    """How slices become pictures: which part, which detail, which window, which scale of errors."""

    box: Box
    detail: Box
    white: float
    error_top: float
    quality: int | None

    def picture(self, method: str, title: str, drawn: NDArray, reference: NDArray) -> Picture:
        """Make the pictures of one method on one drawn slice."""
        whole = to_grey(fit(self.box.cut(drawn)), 0.0, self.white)
        detail = to_grey(self.detail.cut(drawn), 0.0, self.white)
        error = ""
        if method not in TITLES:
            difference = error_of(self.box.cut(drawn), self.box.cut(reference))
            error = data_uri(to_colour(fit(difference), self.error_top), self.quality)
        return Picture(method, title, data_uri(whole, self.quality), data_uri(detail, self.quality), error)


def error_scale(
    estimates: Sequence[NDArray], references: Sequence[NDArray], masks: Sequence[NDArray[np.bool_]]
) -> float:
    """Return the error that has the brightest colour: a high percentile over the foreground, rounded up to 1 %."""
    errors = [error_of(one, reference)[mask] for one, reference, mask in zip(estimates, references, masks, strict=True)]
    return float(np.ceil(100 * np.percentile(np.concatenate(errors), ERROR_PERCENTILE)) / 100) or 0.01


def frame_of(detail: Box, box: Box) -> tuple[float, float, float, float]:
    """Return where a detail lies inside the drawn part: left, top, width and height in percent."""
    rows, columns = box.shape
    return (
        round(100 * (detail.left - box.left) / columns, 2),
        round(100 * (detail.top - box.top) / rows, 2),
        round(100 * detail.shape[1] / columns, 2),
        round(100 * detail.shape[0] / rows, 2),
    )
