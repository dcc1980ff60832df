"""Distance in the features of a VGG (Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018), without their calibration.

It is what they call LPIPS with all weights equal; their calibrated weights are another file, and their distances are
other numbers. The network is the one of the run's perceptual loss (train.perceptual_weights): of methods that were
trained with that loss, this measure is no independent judge. It takes a second or so a slice.
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
RANGE = "0 for images that look the same to the network; 2 at the worst"
SOURCE = "Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018, uncalibrated"
DECIMALS = 4
NEEDS_FEATURES = True

SMALLEST_SIDE = 16
"""In voxels: what the network's four poolings need."""
BLOCKS = 5
"""Between the poolings of a VGG."""
TINY = 1e-10
"""Keeps places without any feature from being divided by zero; the constant of the authors' code."""


def per_slice(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    features: Features,
) -> float:
    """Return the mean over the mask of `per_voxel`."""
    return float(np.mean(per_voxel(reference, estimate, data_range, features)[mask]))


def per_voxel(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], data_range: float, features: Features
) -> NDArray[np.float64]:
    """Return the squared distances of unit vectors of features, averaged over the five blocks of the network.

    Every voxel has the distance at the place of the coarser grids that it lies in. Intensities are cut to the range.

    Raises:
        UserError: the slice is too small for the network.
    """
    alike = [np.float32(1 / BLOCKS)] * BLOCKS
    return apart(reference, estimate, data_range, features, alike)


def apart(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    data_range: float,
    features: Features,
    weights: Sequence[NDArray[np.float32] | np.float32],
) -> NDArray[np.float64]:
    """Return weighted sums over all features of what `per_voxel` averages.

    Args:
        reference: as in `per_slice`.
        estimate: as in `per_slice`.
        data_range: as in `per_slice`.
        features: the network.
        weights: for each block, one weight for all its features, or one for each, shape (features,).

    Raises:
        UserError: the slice is too small for the network.
    """
    if min(reference.shape) < SMALLEST_SIDE:
        raise UserError(
            f"slices of {reference.shape[0]} x {reference.shape[1]} voxels are too small for the VGG distance, "
            "which needs "
            f"{SMALLEST_SIDE} voxels along both axes. Take it out of evaluate.metrics."
        )
    pairs = zip(*(features.blocks(np.clip(one / data_range, 0, 1)) for one in (reference, estimate)), strict=True)
    total: NDArray[np.float64] = np.zeros(reference.shape)
    for block, ((one, other), weight) in enumerate(zip(pairs, weights, strict=True)):
        squares = (_unit(one) - _unit(other)) ** 2 * np.reshape(weight, (-1, 1, 1))
        total = total + _spread(np.asarray(np.sum(squares, axis=0, dtype=np.float64)), 2**block, reference.shape)
    return total


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return features / (np.linalg.norm(features, axis=0) + np.float32(TINY))


def _spread(coarse: NDArray[np.float64], factor: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a map on the grid of the picture; what lies beyond the coarse one has its last row or column."""
    sizes = zip(shape, coarse.shape, strict=True)
    return coarse[np.ix_(*(np.minimum(np.arange(size) // factor, last - 1) for size, last in sizes))]
