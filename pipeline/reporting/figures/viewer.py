"""What the viewer of a page draws from: every method's volume as 8-bit slices, packed into sheets that fit a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.image.channels import with_its_colours
from pipeline.image.image import PLANE_AXIS, Image
from pipeline.image.stack import PLANE as PICTURE
from pipeline.reporting.figures.slices import PLANE_EDGES, Box, bounding_box, colours, data_uri, draw_slice, red_of

BUDGET_BYTES = 9_000_000
"""Of all sheets of a page together, as they stand in it: six megabytes are left for everything else."""
LARGEST_SIDE = 768
"""Of the part that is looked at, in pixels; of larger images it is the surroundings of the detail."""
MAX_VOXELS = 24_000_000
"""Of one layer; more would fill the memory of a browser."""
SHEET_SIDE = 2048
"""Longest side of a sheet of several slices, in pixels; browsers of telephones refuse much larger ones."""
QUALITIES: tuple[int | None, ...] = (None, 97, 90, 80)
"""What is tried, from no loss on."""
SAMPLE = 4
"""Slices by which the bytes of all are estimated."""
HEADROOM = 1.1
"""The lightest and the darkest grey level lie this far from each other, so that overshoot of a method is seen too."""
LEVELS = 255

Tiles = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """The part of a volume that the viewer holds: some of its drawn slices, cut to a box.

    Attributes:
        axis: along which the slices follow each other.
        slices: their indices; neighbours, but in a stack of pictures any, in any order.
        box: rows and columns of a drawn slice.
        top: normalised intensity of the lightest grey level; the darkest is zero.
        ranked: whether the slices stand in the order of what they tell, so that the last ones are left out first.
        colours: slices, one after the other, that are drawn as one coloured picture: 3, or 1 where all are grey.
    """

    axis: int
    slices: tuple[int, ...]
    box: Box
    top: float
    ranked: bool
    colours: int = 1

    @property
    def pictures(self) -> tuple[int, ...]:
        """The first slice of every picture."""
        return self.slices[:: self.colours]

    def grey(self, drawn: NDArray[np.floating]) -> Tiles:
        """Cut the part out of drawn slices (slices, rows, columns), as grey levels of the same axes."""
        return self.levels(drawn, self.top)

    def levels(self, drawn: NDArray[np.floating], top: float) -> Tiles:
        """Cut the part out of drawn slices, with 0 for zero and 255 for `top` and above."""
        box = self.box
        cut = drawn[list(self.slices), box.top : box.bottom, box.left : box.right]
        return np.rint(np.clip(cut * np.float32(LEVELS / max(top, 1e-9)), 0, LEVELS)).astype(np.uint8)

    def fewer(self, count: int) -> Part:
        """Return the part with `count` pictures: the first ones where they are ranked, else those in the middle."""
        first = 0 if self.ranked else (len(self.pictures) - count) // 2
        return replace(self, slices=self.slices[first * self.colours : (first + count) * self.colours])


@dataclass(frozen=True)
class Layer:
    """One volume of the viewer.

    Attributes:
        name: of the method or map.
        title: as a reader sees it.
        role: "measured", "estimate", "reference" or "map".
        tiles: grey levels, shape (slices, rows, columns).
        legend: of a map: the meaning of its darkest and lightest level.
        colours: of a map: red, green and blue by level, shape (256, 3).
    """

    name: str
    title: str
    role: str
    tiles: Tiles
    legend: tuple[str, str] = ("", "")
    colours: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Packed:
    """Layers as sheets, and what was given up to make them fit.

    Attributes:
        layers: name, title, role and sheets of each, plain values.
        part: what they hold.
        quality: of the sheets; None where nothing is lost.
        departure: mean absolute difference of stored from drawn grey levels, in levels.
        left_out: titles of methods for which there was no room.
    """

    layers: tuple[Mapping[str, Any], ...]
    part: Part
    quality: int | None
    departure: float
    left_out: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes that the sheets take in the page."""
        return sum(len(sheet) for layer in self.layers for sheet in layer["sheets"])


def choose_part(reference: Image, order: Sequence[int] | None, detail: Box) -> Part:
    """Choose what of a volume is looked at: the foreground's box, through all slices that have foreground.

    Args:
        reference: extracted volume with its foreground.
        order: slices of a stack of pictures, in the order in which they are shown; None for volumes.
        detail: a drawn slice's part around which images are cut that are too large.
    """
    axis = reference.slice_axis
    mask = reference.masks["foreground"]
    filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    slices = tuple(range(int(filled[0]), int(filled[-1]) + 1)) if order is None else tuple(order)
    drawn = draw_slice(np.asarray(mask.any(axis=axis, keepdims=True)), axis, 0)
    box = limit(bounding_box([drawn]), detail)
    top = HEADROOM * float(np.percentile(np.asarray(reference.data)[mask], 99.9))
    colours = reference.stack.colours
    whole = tuple(index for one in slices for index in with_its_colours(one, colours))
    part = Part(axis, tuple(dict.fromkeys(whole)), box, top, ranked=order is not None, colours=colours)
    return part.fewer(max(1, min(len(part.pictures), MAX_VOXELS // (colours * box.shape[0] * box.shape[1]))))


def limit(box: Box, detail: Box) -> Box:
    """Cut a box that is too large to `LARGEST_SIDE` around the middle of a detail inside it."""
    top, bottom = _limit(box.top, box.bottom, (detail.top + detail.bottom) // 2)
    left, right = _limit(box.left, box.right, (detail.left + detail.right) // 2)
    return Box(top, bottom, left, right)


def _limit(start: int, stop: int, middle: int) -> tuple[int, int]:
    if stop - start <= LARGEST_SIDE:
        return start, stop
    first = min(max(middle - LARGEST_SIDE // 2, start), stop - LARGEST_SIDE)
    return first, first + LARGEST_SIDE


def pack(layers: Sequence[Layer], part: Part, main: Sequence[str], budget: int | None = None) -> Packed:
    """Pack layers into sheets that fit a budget, and gives up as little as that takes.

    In this order: all methods without loss, all with little loss, the main ones alone, fewer slices.

    Args:
        layers: all of them, their tiles as `part` cuts them.
        part: what they hold.
        main: names of the layers that are never left out.
        budget: bytes; None for `BUDGET_BYTES`.
    """
    budget = BUDGET_BYTES if budget is None else budget
    kept = [layer for layer in layers if layer.name in main or layer.role in ("measured", "reference", "map")]
    chosen, quality, expected = _first_that_fits([layers, kept], budget)
    if expected > budget:
        part, chosen = _thin(part, chosen, int(len(part.pictures) * budget / expected))
    packed = [_sheets(layer, quality) for layer in chosen]
    names = {layer.name for layer in chosen}
    return Packed(
        layers=tuple(_described(layer, sheets) for layer, sheets in zip(chosen, packed, strict=True)),
        part=part,
        quality=quality,
        departure=_departure(chosen, packed, quality),
        left_out=tuple(layer.title for layer in layers if layer.name not in names),
    )


def _first_that_fits(selections: Sequence[Sequence[Layer]], budget: int) -> tuple[Sequence[Layer], int | None, float]:
    """Return layers, quality and expected bytes of the first attempt that fits, or of the last one."""
    attempt: tuple[Sequence[Layer], int | None, float] = (selections[-1], QUALITIES[-1], 0.0)
    for chosen, quality in product(selections, QUALITIES):
        attempt = chosen, quality, sum(_expected_bytes(layer, quality) for layer in chosen)
        if attempt[2] <= budget:
            break
    return attempt


def _thin(part: Part, layers: Sequence[Layer], count: int) -> tuple[Part, list[Layer]]:
    fewer = part.fewer(max(count, 1))
    first = part.slices.index(fewer.slices[0])
    span = slice(first, first + len(fewer.slices))
    return fewer, [replace(layer, tiles=layer.tiles[span]) for layer in layers]


def _quality_of(layer: Layer, quality: int | None) -> int | None:
    """Blocks and maps are never stored with loss: edges between blocks would blur, and they take little."""
    return None if layer.role in ("measured", "map") else quality


def _expected_bytes(layer: Layer, quality: int | None) -> float:
    count = len(layer.tiles)
    places = np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).round().astype(int))
    sample = sum(len(data_uri(layer.tiles[place], _quality_of(layer, quality))) for place in places)
    return sample * count / len(places)


def _sheets(layer: Layer, quality: int | None) -> list[str]:
    return [data_uri(mosaic, _quality_of(layer, quality)) for mosaic in mosaics(layer.tiles)]


def grid(tiles: Tiles) -> tuple[int, int]:
    """Return how many tiles stand beside and below each other on a full sheet."""
    _, rows, columns = tiles.shape
    return max(1, SHEET_SIDE // columns), max(1, SHEET_SIDE // rows)


def mosaics(tiles: Tiles) -> list[NDArray[np.uint8]]:
    """Lay tiles (tile, rows, columns) onto sheets, row by row of tiles; the last sheet is as high as it must be."""
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
    """Measure what the loss amounts to: the first sheet of every layer is read back."""
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
    """Return all that the script of the viewer reads, as plain values.

    Args:
        packed: the sheets.
        reference: extracted volume.
        white: normalised intensity that is drawn white at first.
        error_top: error that has the brightest colour, as a share of the normalised range.
        base: method that interpolates the measurement, against which detail is told; it need not be there.
        first: method that is looked at when the page opens.
        second: method that it is compared with.
        keys: methods in the order of the number keys.
        labels: names of the pictures, in the order of the part.
    """
    part = packed.part
    shape = (len(part.pictures), *part.box.shape)
    sample = np.zeros(shape, dtype=np.uint8)
    anatomical = reference.is_anatomical and reference.plane != PICTURE
    planes = [
        {"name": name, "axis": axis, "edges": PLANE_EDGES[name]}
        for name, axis in PLANE_AXIS.items()
        if anatomical and shape[_place(part.axis, axis)] > 1
    ]
    here = {"name": reference.plane, "axis": part.axis, "edges": PLANE_EDGES.get(reference.plane, ())}
    others = [plane for plane in planes if plane["axis"] != part.axis]
    return {
        "layers": list(packed.layers),
        "across": grid(sample)[0],
        "down": grid(sample)[1],
        "shape": shape,
        "colours": part.colours,
        "axis": part.axis,
        "planes": [here, *others],
        "spacing": list(reference.spacing),
        "unit": reference.unit,
        "labels": list(labels),
        "bottom": reference.intensity.shown_range.offset,
        "top": part.top * reference.intensity.shown_range.scale,
        "white": _level(white, part.top),
        "error_top": max(1, round(LEVELS * error_top / part.top)),
        "error_share": error_top,
        "inferno": colours().ravel().tolist(),
        "base": base if any(layer["name"] == base for layer in packed.layers) else "",
        "first": first,
        "second": second,
        "keys": list(keys),
    }


def _place(main: int, axis: int) -> int:
    """Return where an axis of the volume lies in tiles (slices, rows, columns) of slices along `main`."""
    columns, rows = (other for other in range(3) if other != main)
    return (main, rows, columns).index(axis)


def _level(intensity: float, top: float) -> int:
    return int(np.clip(round(LEVELS * intensity / top), 1, LEVELS))
