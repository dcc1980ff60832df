"""A slice of an image beside its restored version, with a magnified detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.image.image import Image
from pipeline.reporting.combined_report import Card, PlaneImages, plane_of
from pipeline.reporting.figures.gallery import WHITE_PERCENTILE, frame_of
from pipeline.reporting.figures.slices import (
    PLANE_EDGES,
    bounding_box,
    data_uri,
    detail_box,
    display_slice,
    display_spacing,
    fit,
    to_grey,
)

NEAREST, CUBIC = 0, 3
"""Orders of the splines that interpolate the input."""


def restored_view(
    source: Image, foreground: NDArray[np.bool_], slice_axis: int, result: Image, factors: Sequence[float]
) -> PlaneImages:
    """Return images of the slice through the middle of the foreground, in the plane with the largest enlargement.

    Args:
        source: the input, in the units of its file.
        foreground: of the input, same shape.
        slice_axis: axis across the slices of the input.
        result: the restored image, in the same units and orientation.
        factors: enlargement along each axis.
    """
    inside = foreground if foreground.any() else np.ones_like(foreground)
    # Of axes with equal factors, the one across the slices of the input.
    axis = min(range(3), key=lambda one: (factors[one], one != slice_axis))
    across = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
    index = int(across[across.size // 2])
    made_index = min(int((index + 0.5) * factors[axis]), result.data.shape[axis] - 1)
    shape = tuple(size for other, size in enumerate(result.data.shape) if other != axis)
    within = [factor for other, factor in enumerate(factors) if other != axis]

    def interpolated(values: NDArray, order: int) -> NDArray[np.float32]:
        flat = _on_grid(np.take(values, index, axis=axis).astype(np.float32), shape, within, order)
        return display_slice(np.expand_dims(flat, axis), axis, 0)

    nearest, cubic = interpolated(source.data, NEAREST), interpolated(source.data, CUBIC)
    mask = interpolated(inside, NEAREST) > 0.5  # noqa: PLR2004
    made = display_slice(result.data, axis, made_index)
    spacing = display_spacing(result.spacing, axis)
    box = bounding_box([mask])
    # Chosen from the input, so that the result is not favoured.
    detail = detail_box(cubic, mask, box, spacing)
    white = float(np.percentile(source.data[inside], WHITE_PERCENTILE))

    def card(title: str, whole: NDArray, *details: NDArray, is_result: bool = False) -> Card:
        texts = (title, f"{title}, magnified detail", f"{title}, magnified detail, cubic B-splines")
        pictures = (fit(box.cut(whole)), *map(detail.cut, details))
        return Card(
            title,
            tuple((data_uri(to_grey(one, 0.0, white)), text) for one, text in zip(pictures, texts, strict=False)),
            is_result=is_result,
        )

    rows, columns = spacing
    plane = plane_of(axis)
    return PlaneImages(
        plane=plane,
        index=index,
        count=source.data.shape[axis],
        cards=(card("Input", nearest, nearest, cubic), card("Result", made, made, is_result=True)),
        edges=PLANE_EDGES[plane],
        frame=frame_of(detail, box),
        aspect=round(box.shape[1] * columns / (box.shape[0] * rows), 4),
        detail_aspect=round(detail.shape[1] * columns / (detail.shape[0] * rows), 4),
    )


def _on_grid(
    values: NDArray[np.float32], shape: Sequence[int], factors: Sequence[float], order: int
) -> NDArray[np.float32]:
    """Interpolate a slice on the grid of the result: the grids share the faces of their outer voxels."""
    centres = [(np.arange(size) + 0.5) / factor - 0.5 for size, factor in zip(shape, factors, strict=True)]
    grid = np.meshgrid(*centres, indexing="ij")
    found: Any = ndimage.map_coordinates(values, grid, order=order, mode="nearest")
    return found
