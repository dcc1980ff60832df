"""Images of the page of a combined volume: its scans, their mean, the result and its uncertainty in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.image.image import PLANE_AXIS
from pipeline.inference.combine.combine import Combined
from pipeline.inference.combine.grid import block_of
from pipeline.inference.combine.scan import Scan
from pipeline.reporting.combined_report import Card, CombinedGallery, PlaneImages, plane_of
from pipeline.reporting.figures.gallery import ERROR_PERCENTILE, WHITE_PERCENTILE, format_white_level, frame_of
from pipeline.reporting.figures.slices import (
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

PLANES = ("axial", "coronal", "sagittal")
NEAREST, CUBIC = 0, 3
"""Orders of the splines that interpolate scans."""


def build_combined_gallery(found: Combined) -> CombinedGallery:
    """Create the images of a combined volume: the middle slice of the head in each plane.

    Args:
        found: volume and scans.
    """
    head = _head(found)
    inside = head if head.any() else np.ones_like(head)
    white = float(np.percentile(found.volume[inside], WHITE_PERCENTILE))
    brightest = float(np.ceil(1000 * np.percentile(found.expected_error[inside], ERROR_PERCENTILE)) / 1000) or 0.001
    planes = tuple(_plane(found, inside, plane, white, brightest) for plane in PLANES)
    return CombinedGallery(planes, format_white_level(white, found.scans[0].image), brightest, data_uri(colour_bar()))


def _head(found: Combined) -> NDArray[np.bool_]:
    """Return the foreground of the first scan on the grid of the volume."""
    first = found.scans[0]
    mask = first.image.with_data(first.image.masks["foreground"].astype(np.float32))
    head = replace(first, image=mask, gain=1.0, offset=0.0)
    return (head.interpolated(found.grid, NEAREST) > 0.5) & head.covers(found.grid)  # noqa: PLR2004


def _plane(found: Combined, head: NDArray[np.bool_], plane: str, white: float, brightest: float) -> PlaneImages:
    axis = PLANE_AXIS[plane]
    others = tuple(other for other in range(3) if other != axis)
    covered = np.flatnonzero(head.any(axis=others))
    index = int(covered[covered.size // 2])
    block = [slice(index, index + 1) if other == axis else slice(0, size) for other, size in enumerate(head.shape)]
    grid = block_of(found.grid, block)

    def interpolated(scan: Scan, order: int) -> NDArray:
        return display_slice(scan.interpolated(grid, order), axis, 0)

    mean, result, spread = (display_slice(one, axis, index) for one in (found.mean, found.volume, found.expected_error))
    mask, spacing = display_slice(head, axis, index), display_spacing(found.grid.spacing, axis)
    box = bounding_box([mask])
    # Chosen from the mean of the scans, so that the result is not favoured.
    detail = detail_box(mean, mask, box, spacing)

    def card(title: str, wholes: Sequence[NDArray], details: Sequence[NDArray], *, is_result: bool = False) -> Card:
        pictures = [to_grey(fit(box.cut(one)), 0.0, white) for one in wholes]
        pictures += [to_grey(detail.cut(one), 0.0, white) for one in details]
        return Card(title, _with_texts(pictures, title, plane), is_result=is_result)

    cards = []
    for number, scan in enumerate(found.scans, start=1):
        nearest, cubic = interpolated(scan, NEAREST), interpolated(scan, CUBIC)
        cards.append(card(f"Scan {number}, {plane_of(scan.image.slice_axis)} slices", [nearest], [nearest, cubic]))
    cards.append(card("Mean of the scans", [mean], [mean]))
    cards.append(card("Combined volume", [result], [result], is_result=True))
    colours = [to_colour(fit(box.cut(spread)), brightest), to_colour(detail.cut(spread), brightest)]
    cards.append(Card("Uncertainty map", _with_texts(colours, "Uncertainty map", plane), bar=True))
    return PlaneImages(
        plane=plane,
        index=index,
        count=head.shape[axis],
        cards=tuple(cards),
        edges=PLANE_EDGES[plane],
        frame=frame_of(detail, box),
        aspect=_aspect(box, spacing),
        detail_aspect=_aspect(detail, spacing),
    )


def _with_texts(pictures: Sequence[NDArray[np.uint8]], title: str, plane: str) -> tuple[tuple[str, str], ...]:
    """Return images, the whole slice first, each with the text in place of it."""
    texts = (
        f"{title}, {plane} slice",
        f"{title}, {plane} slice, magnified detail",
        f"{title}, {plane} slice, magnified detail interpolated by cubic B-splines",
    )
    return tuple((data_uri(picture), text) for picture, text in zip(pictures, texts, strict=False))


def _aspect(box: Box, spacing: tuple[float, float]) -> float:
    rows, columns = box.shape
    return round(columns * spacing[1] / (rows * spacing[0]), 4)
