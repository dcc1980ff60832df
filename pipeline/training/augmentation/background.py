"""Backgrounds of low-resolution patches that are exactly 0, as in scans from which the skull was removed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIN_EMPTY = 0.9
"""Minimum fraction of the background of a reference that is exactly 0, for the background to count as empty."""


def has_empty_background(reference: NDArray[np.float32], mask: NDArray[np.bool_]) -> bool:
    """Return whether a reference has a background, and nearly all of it is exactly 0.

    Args:
        reference: intensities, shape (rows, columns).
        mask: its foreground, same shape.
    """
    background = reference[~mask]
    return bool(background.size) and float((background == 0).mean()) >= MIN_EMPTY


def covered_voxels(reference: NDArray[np.float32], factors: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the low-resolution voxels in which a voxel of the reference is not 0.

    Args:
        reference: intensities, shape (slice, factors[0] rows, factors[1] columns).
        factors: high-resolution voxels per low-resolution voxel along rows and columns.

    Returns:
        Shape (slice, rows, columns).
    """
    count, rows, columns = reference.shape
    cells = reference.reshape(count, rows // factors[0], factors[0], columns // factors[1], factors[1])
    return np.asarray(cells.any(axis=(2, 4)))
