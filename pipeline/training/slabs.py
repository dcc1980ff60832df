"""Regions of the slices of a volume, as patches need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.physics.grid import Cut, coarse_shape

Window = tuple[slice, slice]
"""Rows and columns of a region of a slice."""

WHOLE: Window = (slice(None), slice(None))

ReadSlices = Callable[[Sequence[int], Window], NDArray[np.float32]]
"""Returns a region of the slices of a reference with the given indices, padded, shape (slice, rows, columns)."""


def read_slab(
    array: NDArray, cut: Cut, indices: Sequence[int], factors: tuple[int, int], window: Window = WHOLE
) -> NDArray:
    """Return a region of some slices of a volume, shape (slice, rows, columns); adjacent slices are read together.

    The last slice, row and column are repeated, as padding to a multiple of the factors does.

    Args:
        array: the volume, shape (x, y, z), memory-mapped.
        cut: orientation of the slices in the volume.
        indices: of the slices.
        factors: high-resolution voxels per low-resolution voxel along rows and columns.
        window: the region, in voxels of the padded slice.
    """
    shape = tuple(array.shape[axis] for axis in cut)
    inside = np.minimum(indices, shape[0] - 1)
    low, high = int(inside.min()), int(inside.max()) + 1
    padded = coarse_shape(shape[1:], factors)
    bounds = [part.indices(size * factor) for part, size, factor in zip(window, padded, factors, strict=True)]
    chosen = dict(zip(cut, (slice(low, high), *(slice(start, stop) for start, stop, _ in bounds)), strict=True))
    part = np.moveaxis(array[tuple(chosen[axis] for axis in range(3))], cut, (0, 1, 2))
    missing = [stop - start - size for (start, stop, _), size in zip(bounds, part.shape[1:], strict=True)]
    # Matrix products require a contiguous array.
    part = np.ascontiguousarray(part if len(part) == len(indices) else part[inside - low])
    return np.pad(part, [(0, 0), *((0, count) for count in missing)], mode="edge") if any(missing) else part
