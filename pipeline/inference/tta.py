"""Test-time augmentation (TTA): mean and standard deviation over flips and transposes of a slice.

The restoration of a flipped or transposed slice, with the augmentation undone, should equal that of the slice itself.
Where it does not, the result depends on chance. The standard deviation over the eight augmentations, the planes that a
volume can be cut into, and networks trained with different seeds is an uncertainty map that needs no reference
(test-time augmentation: Wang et al., Neurocomputing 338:34-45, 2019; ensembles: Lakshminarayanan et al., NeurIPS 2017).
It does not include errors that all augmentations share: a large value indicates an unreliable result, but a small value
does not indicate a reliable one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.inference.forward_pass import Engine

MAX_AUGMENTATIONS = 8
"""Number of flips and transposes of a slice."""


class Moments(NamedTuple):
    """Mean and variance of a group of results.

    Attributes:
        mean: over the augmentations.
        variance: over the augmentations, of the same shape; divided by their number, not by one less.
    """

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]


def restore_averaged(engine: Engine, image: NDArray[np.float32], sigma: float, count: int) -> NDArray[np.float32]:
    """Restore slices, or tiles of them, and average over augmentations; arguments as in `restore_augmented`."""
    return np.asarray(np.mean(restore_augmented(engine, image, sigma, count), axis=0), dtype=np.float32)


def restore_augmented(engine: Engine, image: NDArray[np.float32], sigma: float, count: int) -> NDArray[np.float32]:
    """Restore augmentations of slices and undo the augmentation of each result.

    Args:
        engine: a network that is ready to restore slices.
        image: low-resolution slices with their neighbours, shape (..., depth, rows, columns).
        sigma: standard deviation of the noise, as a fraction of the normalised range.
        count: number of augmentations, 1 to 8; at most 4 for networks that restore columns alone, since these allow no
            transposes.

    Returns:
        All results, shape (augmentation, ..., rows, columns).
    """
    possible = range(count if engine.transposes else min(count, 4))
    # Augmentations of one size are computed together to keep the threads of a CPU busy; one suffices for a GPU.
    groups = [[index] for index in possible] if engine.device.type == "cuda" else [possible[:4], possible[4:]]
    results = [
        engine.restore(np.stack([_augmented(image, index) for index in group]), sigma) for group in groups if group
    ]
    turned = enumerate(one for group in results for one in group)
    return np.stack([_undone(one, index) for index, one in turned])


def moments_of(results: NDArray[np.float32]) -> Moments:
    """Return mean and variance over the first axis."""
    return Moments(np.mean(results, axis=0), np.var(results, axis=0))


def pooled_std(groups: Sequence[Moments]) -> NDArray[np.float32]:
    """Return the standard deviation over all results of groups of equal size, float32.

    By the law of total variance: the mean of the variances plus the variance of the means.
    """
    within = np.mean([group.variance for group in groups], axis=0)
    between = np.var([group.mean for group in groups], axis=0)
    return np.sqrt(within + between).astype(np.float32)


def _augmented(image: NDArray[np.float32], index: int) -> NDArray[np.float32]:
    """Return one of eight augmentations: bit 0 flips the rows, bit 1 the columns, bit 2 transposes."""
    flipped = image[..., :: -1 if index & 1 else 1, :: -1 if index & 2 else 1]
    return flipped.swapaxes(-2, -1) if index & 4 else flipped


def _undone(image: NDArray[np.float32], index: int) -> NDArray[np.float32]:
    """Undo `_augmented`."""
    flipped = image.swapaxes(-2, -1) if index & 4 else image
    return flipped[..., :: -1 if index & 1 else 1, :: -1 if index & 2 else 1]
