"""Non-local means on the coarse slices, then the cubic B-spline: denoise first, interpolate after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.baselines import bspline3

TITLE = "Non-local means, cubic B-spline"
DESCRIPTION = (
    "Non-local means on the low-resolution slices, tuned on validation (Buades, Coll and Morel, IEEE Conference on "
    "Computer Vision and Pattern Recognition 2:60-65, 2005), then the cubic B-spline."
)

STRENGTHS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5)
"""Filter strengths tried, in standard deviations of the noise."""
PATCH_SIZES = (3, 5)
"""Sides of the compared patches, in low-resolution voxels."""
PATCH_DISTANCES = (3, 6)
"""Farthest displacement between compared patches, in low-resolution voxels."""


def candidates(sigma: float) -> list[dict[str, Any]]:
    """Return all settings that tuning tries; the first does not denoise at all.

    Args:
        sigma: standard deviation of the noise, in normalised intensities.
    """
    plain = (0.0, PATCH_SIZES[0], PATCH_DISTANCES[0])
    return [
        {"h_in_sigma": strength, "patch_size": size, "patch_distance": distance, "sigma": sigma}
        for strength, size, distance in [plain, *product(STRENGTHS, PATCH_SIZES, PATCH_DISTANCES)]
    ]


def denoise(lr: NDArray[np.floating], axis: int, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Denoise slice by slice.

    Every voxel becomes a mean of its neighbours, weighted by exp(-max(d - 2 sigma^2, 0) / h^2), with d the mean
    squared difference of the square patches around both (Buades, Coll and Morel, Image Processing On Line 1:208-212,
    2011). Slices are mirrored at their edges.

    Args:
        lr: normalised intensities, shape (x, y, z).
        axis: axis along which the slices follow each other.
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
        # Patches centred on their voxel: half a voxel off, as in faster schemes, they would shift the image.
        distance = ndimage.uniform_filter((slices - neighbours) ** 2, patch, mode="reflect")
        weight = np.exp(-np.maximum(distance - 2 * settings["sigma"] ** 2, 0) / strength**2)
        total += weight * neighbours
        weights += weight
    return np.moveaxis(total / weights, 0, axis)


def slice_axis(factors: Sequence[int]) -> int:
    """Return the axis across the slices: the one of factor 1, or the last where all axes are enlarged."""
    return list(factors).index(1) if 1 in factors else len(factors) - 1


def upsample(lr: NDArray[np.floating], factors: Sequence[int], settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Denoises, then interpolates; `settings` as in `denoise`, the rest as in this package's docstring."""
    return bspline3.upsample(denoise(lr, slice_axis(factors), settings), factors, {})
