"""Uncalibrated distance of VGG features (Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018).

The distance is LPIPS with equal weights, and its values differ from those of calibrated LPIPS. The network is that of
the perceptual loss of the run (train.perceptual_weights), so the metric is not independent of methods that were trained
with this loss. It takes about one second per slice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.metrics._features import Features

TITLE = "VGG distance"
UNIT = ""
HIGHER_IS_BETTER = False
PERFECT = 0.0
RANGE = "0 for identical features; 2 at worst"
SOURCE = "Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018, uncalibrated"
DECIMALS = 4
NEEDS_FEATURES = True

MIN_SIDE = 16
"""Minimum number of rows and columns for the four poolings of the network."""
BLOCKS = 5
"""Number of blocks between the poolings of a VGG."""
TINY = 1e-10
"""Constant of the authors' code that avoids division by zero where all features are zero."""


def per_slice(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    features: Features,
) -> float:
    """Return the mean of `per_voxel` over the mask."""
    return float(np.mean(per_voxel(reference, estimate, data_range, features)[mask]))


def per_voxel(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], data_range: float, features: Features
) -> NDArray[np.float64]:
    """Return the squared distances of normalised feature vectors, averaged over the five blocks of the network.

    Distances on the coarser grids are upsampled by nearest-neighbour interpolation. Intensities are clipped to the
    range.

    Raises:
        UserError: the slice is too small for the network.
    """
    equal_weights = [np.float32(1 / BLOCKS)] * BLOCKS
    return weighted_distance(reference, estimate, data_range, features, equal_weights)


def weighted_distance(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    data_range: float,
    features: Features,
    weights: Sequence[NDArray[np.float32] | np.float32],
) -> NDArray[np.float64]:
    """Return the map of weighted sums of squared feature distances.

    Args:
        reference: as in `per_slice`.
        estimate: as in `per_slice`.
        data_range: as in `per_slice`.
        features: the network.
        weights: for each block, one weight for all features, or weights of shape (features,).

    Raises:
        UserError: the slice is too small for the network.
    """
    if min(reference.shape) < MIN_SIDE:
        raise UserError(
            f"slices of {reference.shape[0]} x {reference.shape[1]} voxels are too small for the VGG distance, "
            f"which requires {MIN_SIDE} voxels along both axes. Remove it from evaluate.metrics."
        )
    pairs = zip(*(features.blocks(np.clip(one / data_range, 0, 1)) for one in (reference, estimate)), strict=True)
    total: NDArray[np.float64] = np.zeros(reference.shape)
    for block, ((one, other), weight) in enumerate(zip(pairs, weights, strict=True)):
        first, second = (array / (np.linalg.norm(array, axis=0) + np.float32(TINY)) for array in (one, other))
        distance = np.sum((first - second) ** 2 * np.reshape(weight, (-1, 1, 1)), axis=0, dtype=np.float64)
        total = total + _upsampled(np.asarray(distance), 2**block, reference.shape)
    return total


def _upsampled(coarse: NDArray[np.float64], factor: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Upsample a map to the grid of the picture, repeating its last row and column if necessary."""
    sizes = zip(shape, coarse.shape, strict=True)
    return coarse[np.ix_(*(np.minimum(np.arange(size) // factor, last - 1) for size, last in sizes))]
