"""Slices that are too large for one pass: cut into overlapping tiles whose results are blended."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

NEXT_TO_NOTHING = 1e-6
"""Not zero, since at the edge of the slice there is no other tile."""

Restore = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def tiles_along(size: int, tile: int, overlap: int) -> list[slice]:
    """Cut an axis into tiles of equal length.

    They are as few as possible and no longer than they need be, so that neighbours overlap by little more than
    `overlap`, and the last ends where the axis does.

    Args:
        size: of the axis.
        tile: greatest length of a tile.
        overlap: least overlap of neighbouring tiles; less than `tile`.
    """
    count = max(1, -(-(size - overlap) // (tile - overlap)))
    length = -(-(size + (count - 1) * overlap) // count)
    starts = [round(index * (size - length) / max(1, count - 1)) for index in range(count)]
    return [slice(start, start + length) for start in starts]


def restore_in_tiles(
    image: NDArray[np.float32], restore: Restore, factors: tuple[int, int], tile: int, overlap: int
) -> NDArray[np.float32]:
    """Restore slices tile by tile.

    Neighbouring tiles are blended with weights that rise within the overlap, so that no seam is left.

    Args:
        image: low-resolution slice, shape (rows, columns), or several, stacked along leading axes.
        restore: maps slices to others that are larger by the factors, with leading axes of its own before theirs.
        factors: enlargement along rows and columns.
        tile: greatest side of a tile, in low-resolution voxels.
        overlap: least overlap of neighbouring tiles, in low-resolution voxels.

    Returns:
        Restored slices, float32, larger by the factors, with the leading axes of what `restore` returns.
    """
    if max(image.shape[-2:]) <= tile:
        return restore(image)
    weights = np.zeros(
        [size * factor for size, factor in zip(image.shape[-2:], factors, strict=True)], dtype=np.float64
    )
    sums: NDArray[np.float64] | None = None
    for rows in tiles_along(image.shape[-2], tile, overlap):
        for columns in tiles_along(image.shape[-1], tile, overlap):
            sides = list(zip((rows, columns), factors, strict=True))
            place = tuple(slice(side.start * factor, side.stop * factor) for side, factor in sides)
            weight = np.outer(
                *(ramp(fine.stop - fine.start, overlap * factor) for fine, factor in zip(place, factors, strict=True))
            )
            part = image[..., rows, columns]
            restored = restore(part)
            if sums is None:
                sums = np.zeros((*restored.shape[:-2], *weights.shape), dtype=np.float64)
            sums[..., *place] += weight * restored
            weights[place] += weight
    assert sums is not None
    return (sums / weights).astype(np.float32)


def ramp(size: int, overlap: int) -> NDArray[np.float64]:
    """Weights along one axis of a tile.

    Next to nothing in the outermost quarter of the overlap, where the tile's end disturbs the network; then a linear
    rise over the overlap's inner half.
    """
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    return np.clip((distance - overlap / 4) / max(overlap / 2, 1), NEXT_TO_NOTHING, 1.0)
