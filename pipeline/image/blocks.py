"""Arrays in the order of their memory, and in pieces that fit into a core's cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

TILE = 16
"""Voxels along the sides of a tile that is copied at once: a line of the cache holds 16 numbers of 32 bits."""


def memory_order(data: NDArray) -> tuple[int, ...]:
    """Return the axes of an array, that along which neighbours lie farthest apart in memory first."""
    return tuple(sorted(range(data.ndim), key=lambda axis: -abs(data.strides[axis])))


def in_memory_order(data: NDArray) -> NDArray:
    """Return an array with its axes in the order of its memory: a view, or a copy where it has gaps."""
    return contiguous(data.transpose(memory_order(data)))


def undo_order(ordered: NDArray, order: tuple[int, ...]) -> NDArray:
    """Return a view whose axes are as they were before they were brought to `order`."""
    return ordered.transpose(np.argsort(order))


def planes(ordered: NDArray, axis: int) -> Iterator[NDArray]:
    """Yield the planes of an array in turn: views of shape (size along `axis`, lines), long in memory where it can be.

    Args:
        ordered: axes in the order of memory.
        axis: along which the planes' rows follow each other; what runs along it is not cut.
    """
    others = [other for other in range(ordered.ndim) if other != axis]
    moved = ordered.transpose(*others[:-1], axis, *others[-1:])
    moved = moved if others else moved[:, np.newaxis]
    return (moved[index] for index in np.ndindex(moved.shape[:-2]))


def slices_first(data: NDArray, slice_axis: int) -> NDArray:
    """Return the same volume, in memory slice after slice: `data` itself where it lies so already.

    Args:
        data: shape (x, y, z), any order in memory.
        slice_axis: axis along which the slices follow each other.

    Returns:
        Array of the same shape and dtype. Its slices are contiguous in memory, as files between the stages hold them.
    """
    ordered = np.moveaxis(data, slice_axis, 0)
    return data if ordered.flags.c_contiguous else np.moveaxis(contiguous(ordered), 0, slice_axis)


def contiguous(data: NDArray) -> NDArray:
    """Return an array whose memory follows its axes, as `numpy.ascontiguousarray` does, but quickly.

    Where neighbours along the last axis lie apart, numpy fetches a line of the cache for every single number; tiles use
    all that is fetched.
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
