"""Kernels of blurs, and the matrices that apply them to a line of voxels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def voxel_weights(cumulative: Callable[[Floats], Floats], reach: int) -> Floats:
    """Integrate a profile over each voxel: a voxel holds the mean of what lies in it.

    Args:
        cumulative: integral of the profile from its centre to positions in voxels; shape of the positions.
        reach: voxels on either side of the central one.

    Returns:
        Weights of shape (2 reach + 1,), with the sum 1.
    """
    edges = np.arange(-reach - 0.5, reach + 1)
    weights = np.diff(cumulative(edges))
    return weights / weights.sum()


def blur_matrix(size: int, kernel: Floats) -> Floats:
    """Return the matrix that convolves a line of voxels with a kernel.

    The line is mirrored at its ends (d c b a | a b c d | d c b a), so that constants stay constants.

    Args:
        size: voxels of the line.
        kernel: of odd length, symmetric, any sum.

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
    """Return the matrix that multiplies the spectrum of a line by real gains, as periodic k-space demands.

    Args:
        size: voxels of the line.
        gains: of the frequencies 0, 1, ... size // 2 cycles a line, which negative frequencies share.

    Returns:
        Matrix of shape (size, size).
    """
    return np.fft.irfft(np.fft.rfft(np.eye(size), axis=0) * gains[:, None], n=size, axis=0)


def separable_terms(kernel: Floats, remainder: float) -> list[tuple[Floats, Floats]]:
    """Write a kernel of two dimensions as a short sum of products, by singular value decomposition.

    Args:
        kernel: shape (rows, columns), odd, with the sum 1.
        remainder: most that the sum may differ from the kernel, as a share of its energy (the sum of squares).

    Returns:
        Pairs of a kernel along the rows' axis and one along the columns' axis, by falling energy. The sum of their
        products has the sum 1 as well.
    """
    left, gains, right = np.linalg.svd(kernel)
    allowed = remainder * np.sum(kernel**2)
    count = 1
    while count < gains.size and np.sum((_rebuilt(left, gains, right, count) - kernel) ** 2) > allowed:
        count += 1
    total = np.sum(left[:, :count].sum(axis=0) * gains[:count] * right[:count].sum(axis=1))
    return [(gains[term] / total * left[:, term], right[term]) for term in range(count)]


def _rebuilt(left: Floats, gains: Floats, right: Floats, count: int) -> Floats:
    """The sum of the first terms, brought to the sum 1."""
    rebuilt = (left[:, :count] * gains[:count]) @ right[:count]
    return rebuilt / rebuilt.sum()
