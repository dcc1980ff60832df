"""Downsampling by a factor of 2 for multi-scale metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def halve(picture: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the means over blocks of 2 x 2 voxels, repeating the last row or column of an odd size."""
    return _blocks(np.asarray(picture, dtype=np.float64)).mean(axis=(1, 3))


def halve_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the blocks of 2 x 2 voxels that contain a voxel of the mask, so that no mask vanishes."""
    return np.asarray(_blocks(mask).any(axis=(1, 3)))


def _blocks(picture: NDArray) -> NDArray:
    """Return a view of shape (rows, 2, columns, 2)."""
    rows, columns = picture.shape
    even = np.pad(picture, [(0, rows % 2), (0, columns % 2)], mode="edge")
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2)
