"""Shapes of inserted structures on a voxel grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OVERSAMPLING = 16
"""Sampling points along each side of a voxel, from which its covered fraction is computed."""

Indicator = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]
"""Indicator function of a shape: whether coordinates along and across its direction, in voxels, lie inside."""


class Structure(NamedTuple):
    """A structure in a square window, each array of shape (2 * radius + 1, 2 * radius + 1), float64.

    Attributes:
        signal: fraction of each voxel that the signal covers, 0 to 1.
        carrier: covered fraction of the part present with and without the signal, such as the shaft of a spine; often
            zero.
        template: template of an observer that knows kind, size and direction.
    """

    signal: NDArray[np.float64]
    carrier: NDArray[np.float64]
    template: NDArray[np.float64]


def rasterise(shape: Indicator, direction: float, radius: int) -> NDArray[np.float64]:
    """Return the fraction of each voxel that a shape covers: partial volumes, as in a measured voxel.

    Args:
        shape: the shape, its origin in the central voxel.
        direction: rotation in radians, from rows to columns.
        radius: of the window, in voxels.

    Returns:
        Values from 0 to 1, shape (2 * radius + 1, 2 * radius + 1), float64.
    """
    size = 2 * radius + 1
    points = (np.arange(size * OVERSAMPLING) + 0.5) / OVERSAMPLING - 0.5 - radius
    rows, columns = points[:, None], points[None, :]
    along = rows * np.cos(direction) + columns * np.sin(direction)
    across = columns * np.cos(direction) - rows * np.sin(direction)
    return shape(along, across).reshape(size, OVERSAMPLING, size, OVERSAMPLING).mean(axis=(1, 3))


def disk(diameter: float, offset: float = 0.0) -> Indicator:
    """Return a disk with a diameter in voxels, its centre offset across the direction."""
    return lambda along, across: along**2 + (across - offset) ** 2 <= (diameter / 2) ** 2


def bar(length: float, width: float) -> Indicator:
    """Return a bar with a length and a width in voxels."""
    return lambda along, across: (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)
