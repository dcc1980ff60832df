"""Blur kernels, and the matrices that apply them to a line of voxels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def voxel_weights(cumulative: Callable[[Floats], Floats], reach: int) -> Floats:
    """Integrate a profile over each voxel, whose value is the mean over its extent.

    Args:
        cumulative: integral of the profile from its centre to an array of positions in voxels.
        reach: number of voxels on either side of the central one.

    Returns:
        Weights of shape (2 reach + 1,) with sum 1.
    """
    edges = np.arange(-reach - 0.5, reach + 1)
    weights = np.diff(cumulative(edges))
    return weights / weights.sum()


def blur_matrix(size: int, kernel: Floats) -> Floats:
    """Return the matrix that convolves a line of voxels with a kernel.

    The line is mirrored at its ends (d c b a | a b c d | d c b a), so that constants are preserved.

    Args:
        size: number of voxels.
        kernel: symmetric kernel of odd length and any sum.

    Returns:
        Matrix of shape (size, size).
    """
    reach = len(kernel) // 2
    rows = np.repeat(np.arange(size), len(kernel))
    places = (rows + np.tile(np.arange(-reach, reach + 1), size)) % (2 * size)
    columns = np.where(places < size, places, 2 * size - 1 - places)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (rows, columns), np.tile(kernel, size))
    return matrix


def filter_matrix(size: int, gains: Floats) -> Floats:
    """Return the matrix that multiplies the spectrum of a periodic line by real gains.

    Args:
        size: number of voxels.
        gains: gains of the frequencies 0, 1, ... size // 2 cycles per line; negative frequencies have the same gains.

    Returns:
        Matrix of shape (size, size).
    """
    return np.fft.irfft(np.fft.rfft(np.eye(size), axis=0) * gains[:, None], n=size, axis=0)


def separable_terms(kernel: Floats, remainder: float) -> list[tuple[Floats, Floats]]:
    """Approximate a 2-D kernel by a short sum of separable kernels, by singular value decomposition.

    Args:
        kernel: kernel of odd shape (rows, columns) with sum 1.
        remainder: maximum squared error of the approximation, as a fraction of the energy (sum of squares) of the
            kernel.

    Returns:
        Pairs of a kernel along the row axis and one along the column axis, in order of decreasing energy. Their sum of
        products is normalised to sum 1.
    """
    left, gains, right = np.linalg.svd(kernel)
    allowed = remainder * np.sum(kernel**2)
    count = 1
    while count < gains.size and np.sum((_low_rank(left, gains, right, count) - kernel) ** 2) > allowed:
        count += 1
    total = np.sum(left[:, :count].sum(axis=0) * gains[:count] * right[:count].sum(axis=1))
    return [(gains[term] / total * left[:, term], right[term]) for term in range(count)]


def _low_rank(left: Floats, gains: Floats, right: Floats, count: int) -> Floats:
    """Return the sum of the first `count` terms, normalised to sum 1."""
    approximation = (left[:, :count] * gains[:count]) @ right[:count]
    return approximation / approximation.sum()
