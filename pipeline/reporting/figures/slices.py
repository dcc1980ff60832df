"""Slices of volumes as images: display orientation, crops, intensity window and encoding."""

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
"""Letters at the left, right, upper and lower edge of a displayed slice, in the radiological convention."""

MARGIN = 0.04
"""Margin around the foreground, as a fraction of the bounding box."""

LONGEST_SIDE = 640
"""Maximum side of a whole slice in pixels; larger ones are averaged down. Details never are."""

DETAIL_SHARE = 0.3
"""Side of the magnified detail, as a fraction of the shorter side of the bounding box."""

COVERAGE_SLACK = 0.05
"""Maximum difference in foreground coverage between the chosen detail and the best covered one."""

RIM_SHARE = 0.35
"""Width of the foreground rim (scalp and skull) that is excluded from details, as a fraction of the detail's side."""


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
        """Crop an image of shape (rows, columns, ...)."""
        return picture[self.top : self.bottom, self.left : self.right]


def display_slice(volume: NDArray, axis: int, index: int) -> NDArray:
    """Extract a slice of a canonical (RAS) volume in display orientation.

    Args:
        volume: shape (x, y, z).
        axis: slice axis.
        index: index of the slice.

    Returns:
        Shape (rows, columns). The first remaining axis runs from right to left, the second from bottom to top, as in
        `PLANE_EDGES`.
    """
    return np.take(volume, index, axis=axis).T[::-1, ::-1]


def display_slices(volume: NDArray, axis: int) -> NDArray:
    """Extract all slices of a volume like `display_slice`, but much faster.

    Args:
        volume: shape (x, y, z).
        axis: slice axis.

    Returns:
        Shape (slices, rows, columns), a copy.
    """
    return np.ascontiguousarray(np.moveaxis(volume, axis, 0).transpose(0, 2, 1)[:, ::-1, ::-1])


def display_spacing(spacing: Sequence[float], axis: int) -> tuple[float, float]:
    """Return the row and the column spacing of a displayed slice, in the unit of `spacing`."""
    columns, rows = (spacing[other] for other in range(3) if other != axis)
    return rows, columns


def bounding_box(masks: Iterable[NDArray[np.bool_]], margin: float = MARGIN) -> Box:
    """Return the bounding box of the union of masks of equal shape, with a margin as a fraction of its size.

    Raises:
        ValueError: all masks are empty.
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
    """Choose the detail to magnify from the reference alone, so that no method is favoured.

    Args:
        reference: displayed slice, shape (rows, columns).
        mask: foreground of the slice, same shape.
        box: displayed part of the slice; the centre of the detail lies in its middle half.
        spacing: row and column spacing; the detail is square in physical units.

    Returns:
        The window with the largest mean gradient magnitude, away from the rim of the foreground.
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
    """Map absolute errors to colours, shape (rows, columns, 3): 0 is black, `top` and above are brightest."""
    return colours()[to_grey(error, 0.0, top)]


def colours() -> NDArray[np.uint8]:
    """Return the colormap of error maps, shape (256, 3): matplotlib's perceptually uniform inferno."""
    from matplotlib import colormaps

    return colormaps["inferno"](np.arange(256), bytes=True)[:, :3]


def colour_bar() -> NDArray[np.uint8]:
    """Return a colour bar, shape (1, 256, 3), from zero error at the left to the largest at the right."""
    return colours()[None, :, :]


def fit(picture: NDArray[np.floating]) -> NDArray[np.floating]:
    """Average blocks of pixels of an image larger than `LONGEST_SIDE`; incomplete blocks are dropped."""
    step = -(-max(picture.shape[:2]) // LONGEST_SIDE)
    if step == 1:
        return picture
    rows, columns = (size // step for size in picture.shape[:2])
    blocks = picture[: rows * step, : columns * step].reshape(rows, step, columns, step, *picture.shape[2:])
    return blocks.mean(axis=(1, 3))


def data_uri(picture: NDArray[np.uint8], quality: int | None = None) -> str:
    """Encode an image of shape (rows, columns) or (rows, columns, 3) as a WebP data URI.

    Args:
        picture: 8-bit grey or RGB values.
        quality: WebP quality from 1 to 100; None is lossless.
    """
    buffer = io.BytesIO()
    lossless = quality is None
    PillowImage.fromarray(np.ascontiguousarray(picture)).save(
        buffer, "WEBP", lossless=lossless, quality=100 if lossless else quality, method=4
    )
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def red_of(uri: str) -> NDArray[np.uint8]:
    """Decode a data URI from `data_uri` and return its red channel, as the viewer does for grey images."""
    picture = PillowImage.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))
    return np.asarray(picture.convert("RGB"))[..., 0]
