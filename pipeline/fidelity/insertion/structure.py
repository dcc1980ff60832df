"""What a inserted structure is made of, and how shapes are drawn on a grid of voxels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PARTS = 16
"""A voxel's share that a shape covers is counted on this many points along each of its sides."""

Inside = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]
"""Says which points belong to a shape, by their distance along its direction and across it, in voxels."""


class Structure(NamedTuple):
    """A structure in a square window around its place, each of shape (2 * radius + 1, 2 * radius + 1), float64.

    Attributes:
        signal: share of each voxel that what is to be found covers, 0 to 1.
        carrier: the same of what stands there whether the signal does or not; mostly nothing.
        template: what an observer looks for, who is told kind, size and direction.
    """

    signal: NDArray[np.float64]
    carrier: NDArray[np.float64]
    template: NDArray[np.float64]


def covered(inside: Inside, direction: float, radius: int) -> NDArray[np.float64]:
    """Return the share of each voxel of a window that a shape covers: partial volume, as in a measured voxel.

    Args:
        inside: the shape.
        direction: by which it is turned, in radians, from rows to columns.
        radius: of the window, in voxels; its middle voxel is the shape's origin.

    Returns:
        Values from 0 to 1, shape (2 * radius + 1, 2 * radius + 1), float64.
    """
    size = 2 * radius + 1
    points = (np.arange(size * PARTS) + 0.5) / PARTS - 0.5 - radius
    rows, columns = points[:, None], points[None, :]
    along = rows * np.cos(direction) + columns * np.sin(direction)
    across = columns * np.cos(direction) - rows * np.sin(direction)
    return inside(along, across).reshape(size, PARTS, size, PARTS).mean(axis=(1, 3))


def disk(diameter: float, across_by: float = 0.0) -> Inside:
    """Return a disk of a diameter in voxels, its centre moved across the direction."""
    return lambda along, across: along**2 + (across - across_by) ** 2 <= (diameter / 2) ** 2


def bar(length: float, width: float) -> Inside:
    """Return a bar of a length and width in voxels."""
    return lambda along, across: (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)
