"""Restoration of large slices in overlapping tiles, whose results are blended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_WEIGHT = 1e-6
"""Minimum blending weight; not zero, since at the edge of a slice there is only one tile."""

Restore = Callable[[NDArray], NDArray[np.float32]]
ReadTile = Callable[[slice, slice], NDArray]


class Tiling(NamedTuple):
    """Layout of the tiles of a slice.

    Attributes:
        shape: rows and columns of the slice.
        factors: enlargement along rows and columns.
        tile: maximum side of a tile, in pixels of the slice.
        overlap: minimum overlap of neighbouring tiles, in pixels of the slice; less than `tile`.
    """

    shape: tuple[int, int]
    factors: tuple[int, int]
    tile: int
    overlap: int

    def along(self, axis: int) -> list[slice]:
        """Return the tiles along an axis; see `tiles_along`."""
        return tiles_along(self.shape[axis], self.tile, self.overlap)

    def weights(self, axis: int) -> list[NDArray[np.float32]]:
        """Return the blending weights of each tile along an axis of the result; they sum to one at every pixel."""
        factor = self.factors[axis]
        places = [slice(one.start * factor, one.stop * factor) for one in self.along(axis)]
        ramps = [_ramp(place.stop - place.start, self.overlap * factor) for place in places]
        total = np.zeros(self.shape[axis] * factor)
        for place, ramp in zip(places, ramps, strict=True):
            total[place] += ramp
        return [(ramp / total[place]).astype(np.float32) for place, ramp in zip(places, ramps, strict=True)]


class Block(NamedTuple):
    """A finished part of a result.

    Attributes:
        rows: its rows in the result.
        columns: its columns in the result.
        values: float32, with the leading axes that `restore` returns.
    """

    rows: slice
    columns: slice
    values: NDArray[np.float32]


def tiles_along(size: int, tile: int, overlap: int) -> list[slice]:
    """Cut an axis into as few tiles as possible, all of the same length.

    They are no longer than necessary, so that neighbours overlap by little more than `overlap`, and the last one ends
    where the axis does.

    Args:
        size: of the axis.
        tile: maximum length of a tile.
        overlap: minimum overlap of neighbouring tiles; less than `tile`.
    """
    count = max(1, -(-(size - overlap) // (tile - overlap)))
    length = -(-(size + (count - 1) * overlap) // count)
    starts = [round(index * (size - length) / max(1, count - 1)) for index in range(count)]
    return [slice(start, start + length) for start in starts]


def restored_blocks(read: ReadTile, tiling: Tiling, restore: Restore, first: int = 0) -> Iterator[Block]:
    """Restore a slice tile by tile and yield finished parts: all columns of some rows, then the next rows.

    Neighbouring tiles are blended with weights that rise within the overlap, so that there are no seams. Only one tile,
    and results that overlap the next row of tiles, are in memory.

    Args:
        read: returns rows and columns of the slice, with any leading axes.
        tiling: how the slice is cut.
        restore: maps a part of the slice to one that is larger by the factors, with any leading axes.
        first: row of the result to begin with. The values do not depend on it.
    """
    (row_factor, column_factor), (height, width) = tiling.factors, tiling.shape
    tops, lefts = ([tile.start for tile in tiling.along(axis)] for axis in (0, 1))
    tiles = list(zip(tiling.along(1), [*lefts[1:], width], tiling.weights(1), strict=True))
    above: NDArray[np.float32] | None = None
    for rows, following, row_weights in zip(tiling.along(0), [*tops[1:], height], tiling.weights(0), strict=True):
        if rows.stop * row_factor <= first:
            continue
        top, finished = rows.start * row_factor, (following - rows.start) * row_factor
        begin = max(first - top, 0)
        below: NDArray[np.float32] | None = None
        before: NDArray[np.float32] | None = None
        for columns, right, column_weights in tiles:
            left, done = columns.start * column_factor, (right - columns.start) * column_factor
            block = np.outer(row_weights, column_weights) * restore(read(rows, columns))
            if below is None:
                below = np.zeros((*block.shape[:-2], block.shape[-2] - finished, width * column_factor), np.float32)
            overlapped = 0 if before is None else before.shape[-1]
            if above is not None:
                block[..., : above.shape[-2], overlapped:] += above[..., left + overlapped : left + block.shape[-1]]
            if before is not None:
                block[..., :overlapped] += before  # already contains what is above it
            below[..., left : left + done] = block[..., finished:, :done]
            before = block[..., done:]
            if begin < finished:
                place = slice(top + begin, top + finished), slice(left, left + done)
                yield Block(*place, block[..., begin:finished, :done])
        above = below


def restore_in_tiles(
    image: NDArray[np.float32], restore: Restore, factors: tuple[int, int], tile: int, overlap: int
) -> NDArray[np.float32]:
    """Restore slices, in tiles where they are larger than one tile; see `restored_blocks`.

    Args:
        image: low-resolution slice, shape (rows, columns), or several, stacked along leading axes.
        restore: maps slices to others that are larger by the factors, with any leading axes.
        factors: enlargement along rows and columns.
        tile: maximum side of a tile, in low-resolution voxels.
        overlap: minimum overlap of neighbouring tiles, in low-resolution voxels.

    Returns:
        Restored slices, float32, larger by the factors, with the leading axes of what `restore` returns.
    """
    rows, columns = image.shape[-2:]
    if max(rows, columns) <= tile:
        return restore(image)
    tiling = Tiling((rows, columns), factors, tile, overlap)
    result: NDArray[np.float32] | None = None
    for block in restored_blocks(lambda *place: image[..., *place], tiling, restore):
        if result is None:
            shape = (*block.values.shape[:-2], rows * factors[0], columns * factors[1])
            result = np.empty(shape, dtype=np.float32)
        result[..., block.rows, block.columns] = block.values
    assert result is not None
    return result


def _ramp(size: int, overlap: int) -> NDArray[np.float64]:
    """Return unnormalised weights along one axis of a tile.

    They are nearly zero in the outermost quarter of the overlap, where the tile's end disturbs the network, and rise
    linearly over the inner half of the overlap.
    """
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    return np.clip((distance - overlap / 4) / max(overlap / 2, 1), MIN_WEIGHT, 1.0)
