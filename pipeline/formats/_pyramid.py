"""Image pyramids: one array per resolution, each half as fine as the one before, in a zarr group on disk.

Work is done block by block, so that memory does not grow with the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.formats._ngff import level_shapes
from pipeline.image.intensity import clip_to
from pipeline.physics.grid import pad_to_multiple

CHUNK = 512
"""Side of the chunks, in pixels."""


def create_level(group: Any, name: str, shape: Sequence[int], dtype: np.dtype, axes: str) -> Any:
    """Create an empty array in a zarr group; its chunks are squares of one plane.

    Args:
        group: a zarr group, of version 2 or 3.
        name: of the array; an existing one is replaced.
        shape: its last two axes are rows and columns.
        dtype: of the pixels.
        axes: names of all axes.
    """
    is_version_3 = group.metadata.zarr_format > 2  # noqa: PLR2004
    group.create_array(
        name,
        shape=tuple(shape),
        chunks=tuple(min(size, CHUNK) for size in (*[1] * (len(shape) - 2), *shape[-2:])),
        dtype=dtype,
        # Version 0.4 of OME-NGFF wants the chunks of zarr 2 in nested folders.
        chunk_key_encoding={"name": "default" if is_version_3 else "v2", "separator": "/"},
        dimension_names=list(axes) if is_version_3 else None,
        overwrite=True,
    )
    return open_level(group, name)


def open_level(group: Any, name: str) -> Any:
    """Open an array of a zarr group for writing; its chunks of zeros are written like others.

    A chunk that is missing could otherwise as well have been lost.
    """
    with zarr.config.set({"array.write_empty_chunks": True}):
        return group[name]


def halved(block: NDArray) -> NDArray:
    """Return the means of squares of 2 x 2 pixels, in the dtype of the block; odd edges are repeated.

    Args:
        block: shape (rows, columns).
    """
    padded = pad_to_multiple(block, (2, 2)).astype(np.float64)
    means = (padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]) / 4
    if block.dtype.kind == "f":
        return means.astype(block.dtype)
    limits = np.iinfo(block.dtype)
    return clip_to(np.rint(means), limits.min, limits.max).astype(block.dtype)


def planes_of(leading: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the indices of all planes, given the sizes of the axes before rows and columns."""
    yield from product(*(range(size) for size in leading))


def blocks_of(shape: Sequence[int], side: int = CHUNK) -> Iterator[tuple[slice, slice]]:
    """Yield the squares of a plane (rows, columns) in the order of reading; those at the high ends are smaller."""
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield slice(top, min(top + side, shape[0])), slice(left, min(left + side, shape[1]))


def add_coarser_levels(group: Any, axes: str) -> list[Any]:
    """Write arrays "1", "2", ... from array "0" and return all of them, the finest first."""
    levels = [group["0"]]
    for number, shape in enumerate(level_shapes(levels[0].shape)[1:], start=1):
        finer, coarser = levels[-1], create_level(group, str(number), shape, levels[0].dtype, axes)
        for plane in planes_of(shape[:-2]):
            for rows, columns in blocks_of(shape[-2:]):
                source = (slice(2 * rows.start, 2 * rows.stop), slice(2 * columns.start, 2 * columns.stop))
                coarser[(*plane, rows, columns)] = halved(finer[(*plane, *source)])
        levels.append(coarser)
    return levels
