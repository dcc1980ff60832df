"""Slices that are too large for one pass: cut into overlapping tiles whose results are blended."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

NEXT_TO_NOTHING = 1e-6
"""Not zero, since at the edge of the slice there is no other tile."""

Restore = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def tile_starts(size: int, tile: int, overlap: int) -> list[int]:
    """Returns where tiles begin so that neighbours overlap by at least `overlap` and the last ends at the edge."""
    if size <= tile:
        return [0]
    count = -(-(size - overlap) // (tile - overlap))
    return [round(index * (size - tile) / (count - 1)) for index in range(count)]


def restore_in_tiles(
    image: NDArray[np.float32], restore: Restore, factors: tuple[int, int], tile: int, overlap: int
) -> NDArray[np.float32]:
    """Restores slices tile by tile.

    Neighbouring tiles are blended with weights that rise within the overlap, so that no seam is left.

    Args:
        image: low-resolution slice, shape (rows, columns), or several, stacked along leading axes.
        restore: maps slices to others that are larger by the factors, with leading axes of its own before theirs.
        factors: enlargement along rows and columns.
        tile: side of a tile, in low-resolution voxels.
        overlap: of neighbouring tiles, in low-resolution voxels.

    Returns:
        Restored slices, float32, larger by the factors, with the leading axes of what `restore` returns.
    """
    if max(image.shape[-2:]) <= tile:
        return restore(image)
    weights = np.zeros(
        [size * factor for size, factor in zip(image.shape[-2:], factors, strict=True)], dtype=np.float64
    )
    sums: NDArray[np.float64] | None = None
    for row in tile_starts(image.shape[-2], tile, overlap):
        for column in tile_starts(image.shape[-1], tile, overlap):
            part = image[..., row : row + tile, column : column + tile]
            sides = list(zip((row, column), part.shape[-2:], factors, strict=True))
            weight = np.outer(*(ramp(size * factor, overlap * factor) for _, size, factor in sides))
            place = tuple(slice(start * factor, (start + size) * factor) for start, size, factor in sides)
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
