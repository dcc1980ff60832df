"""Data of the viewer: the volume of every method as 8-bit slices, packed into image sheets within a size budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.image.channels import colour_slices
from pipeline.image.image import PLANE_AXIS, Image
from pipeline.image.lengths import MILLIMETRES, length_unit
from pipeline.image.stack import PLANE as PICTURE
from pipeline.reporting.figures.slices import PLANE_EDGES, Box, bounding_box, colours, data_uri, display_slice, red_of

BUDGET_BYTES = 9_000_000
"""Maximum size of all sheets of a page, base64-encoded; six megabytes remain for everything else."""
LARGEST_SIDE = 768
"""Maximum side of the displayed crop in pixels; larger images are cropped around the magnified detail."""
MAX_VOXELS = 24_000_000
"""Maximum number of voxels of a layer, which a browser keeps in memory."""
SHEET_SIDE = 2048
"""Maximum side of a sheet of several slices in pixels; mobile browsers reject much larger images."""
QUALITIES: tuple[int | None, ...] = (None, 97, 90, 80)
"""WebP qualities in the order in which they are tried; None is lossless."""
SAMPLE = 4
"""Number of slices from which the size of all sheets is estimated."""
HEADROOM = 1.1
"""Intensity of the brightest grey level as a multiple of the 99.9th percentile, so that overshoot stays visible."""
LEVELS = 255

SECTION_PLANES = [("xy", 2), ("xz", 1), ("yz", 0)]
"""Planes of a stack of micrographs, whose position in the head is unknown, and the axes perpendicular to them."""

Tiles = NDArray[np.uint8]


@dataclass(frozen=True)
class Crop:
    """The part of a volume in the viewer: some displayed slices, cropped to a box.

    Attributes:
        axis: slice axis.
        slices: indices of the slices; consecutive, except in a stack of pictures.
        box: rows and columns of a displayed slice.
        top: normalised intensity of the brightest grey level; the darkest is zero.
        ranked: whether the slices are sorted by relevance, so that the last ones are dropped first.
        colours: number of consecutive slices that form one RGB picture: 3, or 1 for grey slices.
    """

    axis: int
    slices: tuple[int, ...]
    box: Box
    top: float
    ranked: bool
    colours: int = 1

    @property
    def pictures(self) -> tuple[int, ...]:
        """First slice of every picture."""
        return self.slices[:: self.colours]

    def grey(self, displayed: NDArray[np.floating]) -> Tiles:
        """Crop displayed slices, shape (slices, rows, columns), and map them to grey levels."""
        return self.levels(displayed, self.top)

    def levels(self, displayed: NDArray[np.floating], top: float) -> Tiles:
        """Crop displayed slices and map them to levels: 0 for zero, 255 for `top` and above."""
        box = self.box
        cut = displayed[list(self.slices), box.top : box.bottom, box.left : box.right]
        return np.rint(np.clip(cut * np.float32(LEVELS / max(top, 1e-9)), 0, LEVELS)).astype(np.uint8)

    def fewer(self, count: int) -> Crop:
        """Keep `count` pictures: the first ones if they are ranked, else the middle ones."""
        first = 0 if self.ranked else (len(self.pictures) - count) // 2
        return replace(self, slices=self.slices[first * self.colours : (first + count) * self.colours])


@dataclass(frozen=True)
class Layer:
    """One volume of the viewer.

    Attributes:
        name: name of the method or map.
        title: displayed title.
        role: "input", "estimate", "reference" or "map".
        tiles: grey levels, shape (slices, rows, columns).
        legend: labels of the lowest and the highest level of a map.
        colours: colormap of a map, RGB by level, shape (256, 3).
    """

    name: str
    title: str
    role: str
    tiles: Tiles
    legend: tuple[str, str] = ("", "")
    colours: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Packed:
    """Layers packed into sheets, and the losses that this took.

    Attributes:
        layers: name, title, role and sheets of each layer, as JSON values.
        crop: displayed part of the volume.
        quality: WebP quality of the sheets; None if they are lossless.
        departure: mean absolute difference between stored and original grey levels.
        left_out: titles of the methods that were left out to save space.
    """

    layers: tuple[Mapping[str, Any], ...]
    crop: Crop
    quality: int | None
    departure: float
    left_out: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """Size of the sheets in the page."""
        return sum(len(sheet) for layer in self.layers for sheet in layer["sheets"])


def choose_crop(reference: Image, order: Sequence[int] | None, detail: Box) -> Crop:
    """Choose the displayed part of a volume: the bounding box of the foreground, in all slices with foreground.

    Args:
        reference: extracted volume with its foreground.
        order: slices of a stack of pictures in display order; None for volumes.
        detail: magnified detail, around which too large images are cropped.
    """
    axis = reference.slice_axis
    mask = reference.masks["foreground"]
    filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    slices = tuple(range(int(filled[0]), int(filled[-1]) + 1)) if order is None else tuple(order)
    drawn = display_slice(np.asarray(mask.any(axis=axis, keepdims=True)), axis, 0)
    box = limit(bounding_box([drawn]), detail)
    top = HEADROOM * float(np.percentile(np.asarray(reference.data)[mask], 99.9))
    colours = reference.stack.colours
    whole = tuple(index for one in slices for index in colour_slices(one, colours))
    crop = Crop(axis, tuple(dict.fromkeys(whole)), box, top, ranked=order is not None, colours=colours)
    return crop.fewer(max(1, min(len(crop.pictures), MAX_VOXELS // (colours * box.shape[0] * box.shape[1]))))


def limit(box: Box, detail: Box) -> Box:
    """Crop a box larger than `LARGEST_SIDE` around the centre of a detail inside it."""
    top, bottom = _limit(box.top, box.bottom, (detail.top + detail.bottom) // 2)
    left, right = _limit(box.left, box.right, (detail.left + detail.right) // 2)
    return Box(top, bottom, left, right)


def _limit(start: int, stop: int, middle: int) -> tuple[int, int]:
    if stop - start <= LARGEST_SIDE:
        return start, stop
    first = min(max(middle - LARGEST_SIDE // 2, start), stop - LARGEST_SIDE)
    return first, first + LARGEST_SIDE


def pack(layers: Sequence[Layer], crop: Crop, main: Sequence[str], budget: int | None = None) -> Packed:
    """Pack layers into sheets within a size budget.

    The first of these that fits is used: all methods lossless, all methods with increasing loss, the main methods
    only, fewer slices.

    Args:
        layers: layers with tiles of the given crop.
        crop: displayed part of the volume.
        main: names of the layers that are never left out.
        budget: maximum size in bytes; None for `BUDGET_BYTES`.
    """
    budget = BUDGET_BYTES if budget is None else budget
    kept = [layer for layer in layers if layer.name in main or layer.role in ("input", "reference", "map")]
    chosen, quality, expected = _first_that_fits([layers, kept], budget)
    if expected > budget:
        crop, chosen = _thin(crop, chosen, int(len(crop.pictures) * budget / expected))
    packed = [[data_uri(sheet, _quality_of(layer, quality)) for sheet in mosaics(layer.tiles)] for layer in chosen]
    names = {layer.name for layer in chosen}
    return Packed(
        layers=tuple(_described(layer, sheets) for layer, sheets in zip(chosen, packed, strict=True)),
        crop=crop,
        quality=quality,
        departure=_departure(chosen, packed, quality),
        left_out=tuple(layer.title for layer in layers if layer.name not in names),
    )


def _first_that_fits(selections: Sequence[Sequence[Layer]], budget: int) -> tuple[Sequence[Layer], int | None, float]:
    """Return layers, quality and expected size of the first attempt that fits, or of the last one."""
    attempt: tuple[Sequence[Layer], int | None, float] = (selections[-1], QUALITIES[-1], 0.0)
    for chosen, quality in product(selections, QUALITIES):
        attempt = chosen, quality, sum(_expected_bytes(layer, quality) for layer in chosen)
        if attempt[2] <= budget:
            break
    return attempt


def _thin(crop: Crop, layers: Sequence[Layer], count: int) -> tuple[Crop, list[Layer]]:
    fewer = crop.fewer(max(count, 1))
    first = crop.slices.index(fewer.slices[0])
    span = slice(first, first + len(fewer.slices))
    return fewer, [replace(layer, tiles=layer.tiles[span]) for layer in layers]


def _quality_of(layer: Layer, quality: int | None) -> int | None:
    """Return the quality for a layer: the blocky input and maps are always lossless, since they compress well."""
    return None if layer.role in ("input", "map") else quality


def _expected_bytes(layer: Layer, quality: int | None) -> float:
    count = len(layer.tiles)
    places = np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).round().astype(int))
    sample = sum(len(data_uri(layer.tiles[place], _quality_of(layer, quality))) for place in places)
    return sample * count / len(places)


def grid(tiles: Tiles) -> tuple[int, int]:
    """Return the number of tiles per row and per column of a full sheet."""
    _, rows, columns = tiles.shape
    return max(1, SHEET_SIDE // columns), max(1, SHEET_SIDE // rows)


def mosaics(tiles: Tiles) -> list[NDArray[np.uint8]]:
    """Arrange tiles, shape (tile, rows, columns), on sheets in row-major order; the last sheet can be lower."""
    count, rows, columns = tiles.shape
    across, down = grid(tiles)
    found = []
    for start in range(0, count, across * down):
        some = tiles[start : start + across * down]
        lines = -(-len(some) // across)
        full = np.zeros((lines * across, rows, columns), dtype=np.uint8)
        full[: len(some)] = some
        sheet = full.reshape(lines, across, rows, columns).transpose(0, 2, 1, 3).reshape(lines * rows, across * columns)
        found.append(sheet)
    return found


def _described(layer: Layer, sheets: list[str]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": layer.name, "title": layer.title, "role": layer.role, "sheets": sheets}
    if layer.colours is not None:
        described |= {"colours": layer.colours.ravel().tolist(), "legend": layer.legend}
    return described


def _departure(layers: Sequence[Layer], packed: Sequence[list[str]], quality: int | None) -> float:
    """Return the mean absolute error of the stored levels, from the first sheet of every layer."""
    if quality is None:
        return 0.0
    differences = [
        np.abs(red_of(sheets[0]).astype(int) - mosaics(layer.tiles)[0])
        for layer, sheets in zip(layers, packed, strict=True)
        if _quality_of(layer, quality) is not None
    ]
    return float(np.mean(np.concatenate([difference.ravel() for difference in differences])))


def viewer_data(
    packed: Packed,
    reference: Image,
    *,
    white: float,
    error_top: float,
    base: str,
    first: str,
    second: str,
    keys: Sequence[str],
    labels: Sequence[str],
) -> dict[str, Any]:
    """Return the data for the script of the viewer, as JSON values.

    Args:
        packed: the sheets.
        reference: extracted volume.
        white: normalised intensity initially displayed as white.
        error_top: error with the brightest colour, as a fraction of the normalised range.
        base: interpolation of the input, relative to which detail is displayed; can be absent.
        first: method A when the page opens.
        second: method B.
        keys: methods in the order of the number keys.
        labels: names of the pictures in the order of the crop.
    """
    crop = packed.crop
    shape = (len(crop.pictures), *crop.box.shape)
    sample = np.zeros(shape, dtype=np.uint8)
    columns, rows = (axis for axis in range(3) if axis != crop.axis)
    axes = (crop.axis, rows, columns)  # of `shape`
    if reference.is_anatomical and reference.plane != PICTURE:
        named = [(name, axis) for name, axis in PLANE_AXIS.items() if shape[axes.index(axis)] > 1]
    elif _is_stack_of_sections(reference) and not crop.ranked and shape[0] > 1:
        named = SECTION_PLANES
    else:
        named = [(reference.plane, crop.axis)]
    planes = [{"name": name, "axis": axis, "edges": PLANE_EDGES.get(name, ())} for name, axis in named]
    mine = {"name": reference.plane, "axis": crop.axis, "edges": PLANE_EDGES.get(reference.plane, ())}
    here = next((plane for plane in planes if plane["axis"] == crop.axis), mine)
    others = [plane for plane in planes if plane["axis"] != crop.axis]
    unit, per_unit = display_unit(reference)
    return {
        "layers": list(packed.layers),
        "across": grid(sample)[0],
        "down": grid(sample)[1],
        "shape": shape,
        "colours": crop.colours,
        "axis": crop.axis,
        "planes": [here, *others],
        "spacing": [per_unit * length for length in reference.spacing],
        "unit": unit,
        "labels": list(labels),
        "bottom": reference.intensity.shown_range.offset,
        "top": crop.top * reference.intensity.shown_range.scale,
        "white": int(np.clip(round(LEVELS * white / crop.top), 1, LEVELS)),
        "error_top": max(1, round(LEVELS * error_top / crop.top)),
        "error_share": error_top,
        "inferno": colours().ravel().tolist(),
        "base": base if any(layer["name"] == base for layer in packed.layers) else "",
        "first": first,
        "second": second,
        "keys": list(keys),
    }


def _is_stack_of_sections(reference: Image) -> bool:
    """Return whether the slices of a micrograph are consecutive sections or planes of known voxel size."""
    return reference.stack.are_neighbours and reference.plane == PICTURE and reference.spacing_mm is not None


def display_unit(reference: Image) -> tuple[str, float]:
    """Return the unit in which lengths of an image are displayed, and its number per unit of the image."""
    if reference.spacing_mm is None:
        return reference.unit, 1.0
    unit, per_mm = length_unit(reference.spacing_mm)
    return unit, per_mm * MILLIMETRES[reference.unit]
