"""Slices with their neighbours, as networks are given them (`pipeline.models.generator.Shape.neighbours`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def with_neighbours(slices: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return every slice of a volume between its neighbours.

    The first and last slices of the volume are repeated beyond its ends.

    Args:
        slices: shape (slice, rows, columns).
        count: number of neighbours before, and after, each slice.

    Returns:
        A view, shape (slice, 2 count + 1, rows, columns).
    """
    padded = np.pad(slices, ((count, count), (0, 0), (0, 0)), mode="edge") if count else slices
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * count + 1, axis=0)
    return np.moveaxis(windows, -1, 1)


def without_neighbours(slices: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return every slice between repetitions of itself, for slices that do not lie beside each other.

    Args:
        slices: shape (..., rows, columns).
        count: as in `with_neighbours`.

    Returns:
        A view, shape (..., 2 count + 1, rows, columns).
    """
    *leading, rows, columns = slices.shape
    return np.broadcast_to(slices[..., None, :, :], (*leading, 2 * count + 1, rows, columns))
