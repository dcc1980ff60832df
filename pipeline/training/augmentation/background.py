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


def without_background(measured: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a low-resolution patch with 0 in every voxel in which all voxels of the reference are 0.

    Args:
        measured: low-resolution patch with noise, shape (rows, columns).
        reference: its reference, whose shape is a multiple of that.
    """
    rows, columns = measured.shape
    cells = reference.reshape(rows, reference.shape[0] // rows, columns, reference.shape[1] // columns)
    return np.where(cells.any(axis=(1, 3)), measured, np.float32(0))
