"""Memory order of arrays, and copies in tiles that fit into a core's cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

TILE = 16
"""Side of a tile that is copied at once, in voxels: a cache line holds 16 numbers of 32 bits."""


def memory_order(data: NDArray) -> tuple[int, ...]:
    """Return the axes of an array by decreasing stride."""
    return tuple(sorted(range(data.ndim), key=lambda axis: -abs(data.strides[axis])))


def in_memory_order(data: NDArray) -> NDArray:
    """Return an array with its axes in memory order: a view, or a copy if it is not contiguous."""
    return contiguous(data.transpose(memory_order(data)))


def undo_order(ordered: NDArray, order: tuple[int, ...]) -> NDArray:
    """Return a view with the axes in their original order; the inverse of a transposition to `order`."""
    return ordered.transpose(np.argsort(order))


def planes(ordered: NDArray, axis: int) -> Iterator[NDArray]:
    """Yield the planes of an array as views of shape (size along `axis`, lines), with lines along the fastest axis.

    Args:
        ordered: axes in the order of memory.
        axis: axis of the planes' rows, which is not cut.
    """
    others = [other for other in range(ordered.ndim) if other != axis]
    moved = ordered.transpose(*others[:-1], axis, *others[-1:])
    moved = moved if others else moved[:, np.newaxis]
    return (moved[index] for index in np.ndindex(moved.shape[:-2]))


def slices_first(data: NDArray, slice_axis: int) -> NDArray:
    """Return the volume with contiguous slices; `data` itself if its slices are contiguous already.

    Args:
        data: shape (x, y, z), any order in memory.
        slice_axis: axis along which the slices follow each other.

    Returns:
        Array of the same shape and dtype, with slices contiguous in memory, as in the files between steps.
    """
    ordered = np.moveaxis(data, slice_axis, 0)
    return data if ordered.flags.c_contiguous else np.moveaxis(contiguous(ordered), 0, slice_axis)


def contiguous(data: NDArray) -> NDArray:
    """Return a C-contiguous array; a faster `numpy.ascontiguousarray`.

    If neighbours along the last axis are apart in memory, numpy fetches a cache line for every single number; tiles use
    the whole line.
    """
    if data.ndim == 1 or abs(data.strides[-1]) == data.itemsize:
        return np.ascontiguousarray(data)
    target = np.empty(data.shape, data.dtype)
    for rows in _steps(data.shape[0]):
        for columns in _steps(data.shape[-1]):
            target[rows, ..., columns] = data[rows, ..., columns]
    return target


def _steps(size: int) -> Iterator[slice]:
    return (slice(start, start + TILE) for start in range(0, size, TILE))
