"""Non-local means (Buades, Coll and Morel, IEEE Conf. on Computer Vision and Pattern Recognition 2:60-65, 2005)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def non_local_means(lr: NDArray[np.floating], axis: int, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Denoise slice by slice with non-local means.

    Every voxel is replaced by a mean of its neighbours, weighted by exp(-max(d - 2 sigma^2, 0) / h^2), with d the mean
    squared difference of the square patches around both (Buades, Coll and Morel, Image Processing On Line 1:208-212,
    2011). Slices are mirrored at their edges.

    Args:
        lr: normalised intensities, shape (x, y, z).
        axis: axis perpendicular to the slices.
        settings: patch_size (odd) and patch_distance in voxels, sigma in normalised intensities, h_in_sigma (h) in
            sigmas.

    Returns:
        Array of the same shape, float32.
    """
    volume = np.asarray(lr, dtype=np.float32)
    strength = settings["h_in_sigma"] * settings["sigma"]
    if strength == 0:
        return volume
    slices = np.moveaxis(volume, axis, 0)
    far = settings["patch_distance"]
    patch: Any = (1, settings["patch_size"], settings["patch_size"])
    padded = np.pad(slices, ((0, 0), (far, far), (far, far)), mode="symmetric")
    total, weights = np.zeros_like(slices), np.zeros_like(slices)
    for row, column in product(range(2 * far + 1), repeat=2):
        neighbours = padded[:, row : row + slices.shape[1], column : column + slices.shape[2]]
        # Patches are centred on their voxel; an offset of half a voxel, as in faster schemes, would shift the image.
        distance = ndimage.uniform_filter((slices - neighbours) ** 2, patch, mode="reflect")
        weight = np.exp(-np.maximum(distance - 2 * settings["sigma"] ** 2, 0) / strength**2)
        total += weight * neighbours
        weights += weight
    return np.moveaxis(total / weights, 0, axis)
