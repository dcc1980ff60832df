"""From volumes to pictures: which slices, how they lie, which window, and bytes that fit into a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

PLANE_EDGES = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "S", "I"),
    "sagittal": ("A", "P", "S", "I"),
}
"""What lies at the left, right, upper and lower edge of a drawn slice: the radiological convention."""

MARGIN = 0.04
"""Share of the bounding box that is left around the foreground."""

LONGEST_SIDE = 640
"""Whole slices with more pixels than this along a side are averaged down; details never are."""

DETAIL_SHARE = 0.3
"""Side of the magnified detail, as a share of the shorter side of the bounding box."""


COVERAGE_SLACK = 0.05
"""The detail may hold this much less foreground than the window that holds most."""

RIM_SHARE = 0.35
"""The rim of the foreground (scalp and skull), as a share of the detail's side, does not count as detail."""


@dataclass(frozen=True)
class Box:
    """A rectangle of rows and columns, [start, stop)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    def cut(self, picture: NDArray) -> NDArray:
        """Return this part of a picture of shape (rows, columns)."""
        return picture[self.top : self.bottom, self.left : self.right]


def draw_slice(volume: NDArray, axis: int, index: int) -> NDArray:
    """Take a slice of a canonical (RAS) volume the way it is looked at.

    Args:
        volume: shape (x, y, z).
        axis: along which the slices follow each other.
        index: of the slice.

    Returns:
        Shape (rows, columns): the first remaining axis runs from right to left, the second from bottom to top, so
        that the edges are those of `PLANE_EDGES`.
    """
    return np.take(volume, index, axis=axis).T[::-1, ::-1]


def drawn_slices(volume: NDArray, axis: int) -> NDArray:
    """Take all slices of a volume the way `draw_slice` takes one, much faster than one after the other.

    Args:
        volume: shape (x, y, z).
        axis: along which the slices follow each other.

    Returns:
        Shape (slices, rows, columns), a copy.
    """
    return np.ascontiguousarray(np.moveaxis(volume, axis, 0).transpose(0, 2, 1)[:, ::-1, ::-1])


def drawn_spacing(spacing: Sequence[float], axis: int) -> tuple[float, float]:
    """Return the distance between the rows and between the columns of a drawn slice, in the unit of `spacing`."""
    columns, rows = (spacing[other] for other in range(3) if other != axis)
    return rows, columns


def bounding_box(masks: Iterable[NDArray[np.bool_]], margin: float = MARGIN) -> Box:
    """Return the smallest box around the foreground of all `masks` (of one shape), with a margin (a share of it).

    Raises:
        ValueError: no mask has any foreground.
    """
    together = np.logical_or.reduce(list(masks))
    rows, columns = np.flatnonzero(together.any(axis=1)), np.flatnonzero(together.any(axis=0))
    if rows.size == 0:
        raise ValueError("the masks are empty")
    more = round(margin * max(np.ptp(rows), np.ptp(columns))) + 1 if margin else 0
    height, width = together.shape
    return Box(
        max(int(rows[0]) - more, 0),
        min(int(rows[-1]) + 1 + more, height),
        max(int(columns[0]) - more, 0),
        min(int(columns[-1]) + 1 + more, width),
    )


def detail_box(reference: NDArray[np.floating], mask: NDArray[np.bool_], box: Box, spacing: tuple[float, float]) -> Box:
    """Choose the detail to magnify by the reference alone, so that no method is favoured.

    Args:
        reference: drawn slice, shape (rows, columns).
        mask: its foreground, same shape.
        box: the part that is drawn; the detail's centre lies in its middle half.
        spacing: distance between rows and between columns; the detail is square in these.

    Returns:
        The window with the strongest edges (mean gradient magnitude), away from the foreground's rim.
    """
    from scipy import ndimage

    average: Any = ndimage.uniform_filter
    rows, columns = box.shape
    side = DETAIL_SHARE * min(rows * spacing[0], columns * spacing[1])
    size = (max(8, min(rows, round(side / spacing[0]))), max(8, min(columns, round(side / spacing[1]))))
    size = (min(size[0], reference.shape[0]), min(size[1], reference.shape[1]))
    depth = np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing))
    inner = depth > RIM_SHARE * side
    slopes = np.gradient(reference.astype(np.float64))
    edges = np.hypot(slopes[0], slopes[1]) * inner
    coverage = average(inner.astype(np.float64), size, mode="constant")
    strength = average(edges, size, mode="constant")
    score = strength * (coverage > coverage[_middle(box)].max() - COVERAGE_SLACK)
    allowed = np.zeros(reference.shape, dtype=bool)
    allowed[_middle(box)] = True
    row, column = np.unravel_index(int(np.argmax(np.where(allowed, score, -1))), reference.shape)
    top = int(np.clip(row - size[0] // 2, 0, reference.shape[0] - size[0]))
    left = int(np.clip(column - size[1] // 2, 0, reference.shape[1] - size[1]))
    return Box(top, top + size[0], left, left + size[1])


def _middle(box: Box) -> tuple[slice, slice]:
    rows, columns = box.shape
    return (
        slice(box.top + rows // 4, max(box.bottom - rows // 4, box.top + rows // 4 + 1)),
        slice(box.left + columns // 4, max(box.right - columns // 4, box.left + columns // 4 + 1)),
    )


def to_grey(picture: NDArray[np.floating], black: float, white: float) -> NDArray[np.uint8]:
    """Map intensities to 8 bits: `black` and below to 0, `white` and above to 255."""
    share = (np.asarray(picture, dtype=np.float64) - black) / max(white - black, 1e-12)
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)


def to_colour(error: NDArray[np.floating], top: float) -> NDArray[np.uint8]:
    """Map absolute errors to colours, shape (rows, columns, 3): 0 is black, `top` and above the brightest."""
    return colours()[to_grey(error, 0.0, top)]


def colours() -> NDArray[np.uint8]:
    """Return the 256 colours of error maps, shape (256, 3): matplotlib's inferno, even in lightness."""
    from matplotlib import colormaps

    return colormaps["inferno"](np.arange(256), bytes=True)[:, :3]


def colour_bar() -> NDArray[np.uint8]:
    """Return a colour bar, shape (1, 256, 3), from 0 at the left to the highest error at the right."""
    return colours()[None, :, :]


def fit(picture: NDArray[np.floating]) -> NDArray[np.floating]:
    """Average blocks of pixels where a picture is larger than `LONGEST_SIDE`; what fills no block is left out."""
    step = -(-max(picture.shape[:2]) // LONGEST_SIDE)
    if step == 1:
        return picture
    rows, columns = (size // step for size in picture.shape[:2])
    blocks = picture[: rows * step, : columns * step].reshape(rows, step, columns, step, *picture.shape[2:])
    return blocks.mean(axis=(1, 3))


def data_uri(picture: NDArray[np.uint8], quality: int | None = None) -> str:
    """Encode a picture of shape (rows, columns) or (rows, columns, 3) as WebP inside a data URI.

    Args:
        picture: 8-bit grey or RGB values.
        quality: 1 to 100; None keeps every pixel as it is.
    """
    buffer = io.BytesIO()
    lossless = quality is None
    PillowImage.fromarray(np.ascontiguousarray(picture)).save(
        buffer, "WEBP", lossless=lossless, quality=100 if lossless else quality, method=4
    )
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def red_of(uri: str) -> NDArray[np.uint8]:
    """Decode what `data_uri` encoded and return the red channel, as the pages' script does for grey pictures."""
    picture = PillowImage.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))
    return np.asarray(picture.convert("RGB"))[..., 0]
