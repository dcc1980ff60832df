"""The voxel grid of the combined volume."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.inference.combine.scan import Scan
from pipeline.physics.scan_operator import Grid

MARGIN_MM = 8.0
"""Margin of the working grid around the head."""
ROUNDING = 1e-3
"""Fraction of a voxel by which the field of view may exceed the grid."""


def isotropic_grid(image: Image, voxel_mm: float) -> Grid:
    """Return the grid with isotropic voxels that covers the field of view of an image, from its low corner on.

    Args:
        image: in canonical orientation.
        voxel_mm: side of a voxel in mm.
    """
    spacing = np.array(image.spacing)
    extents = np.array(image.data.shape) * spacing
    shape = tuple(max(1, math.ceil(extent / voxel_mm - ROUNDING)) for extent in extents)
    affine = image.affine.copy()
    scale = voxel_mm / spacing
    affine[:3, :3] = image.affine[:3, :3] * scale
    affine[:3, 3] = image.affine[:3] @ [*((scale - 1) / 2), 1.0]
    return Grid(shape, affine)


def working_block(grid: Grid, scans: Sequence[Scan]) -> tuple[slice, ...]:
    """Return the block of a grid with the heads of all scans and a margin; the grid outside is background.

    Raises:
        UserError: the grid does not contain the heads.
    """
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for scan in scans:
        voxels = np.argwhere(scan.image.masks["foreground"])
        ends = _corners(voxels.min(axis=0) - 0.5, voxels.max(axis=0) + 0.5)
        matrix = np.linalg.inv(grid.affine) @ np.linalg.inv(scan.motion.matrix()) @ scan.image.affine
        places = ends @ matrix[:3, :3].T + matrix[:3, 3]
        low, high = np.minimum(low, places.min(axis=0)), np.maximum(high, places.max(axis=0))
    if (high < 0).any() or (low > np.array(grid.shape) - 1).any():
        raise UserError("the voxel grid of the result does not contain the head (--like: another image).")
    margin = MARGIN_MM / np.array(grid.spacing)
    starts = np.clip(np.floor(low - margin), 0, None).astype(int)
    stops = np.clip(np.ceil(high + margin) + 1, None, grid.shape).astype(int)
    return tuple(slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True))


def block_of(grid: Grid, block: Sequence[slice]) -> Grid:
    """Return the grid of a block of another grid."""
    affine = grid.affine.copy()
    affine[:3, 3] = grid.affine[:3] @ [*(one.start for one in block), 1.0]
    return Grid(tuple(one.stop - one.start for one in block), affine)


def coarser_grid(grid: Grid, factor: int) -> Grid:
    """Return a grid with voxels of `factor` times the size, from the low corner of another grid on."""
    affine = grid.affine @ np.diag([factor, factor, factor, 1.0])
    affine[:3, 3] = grid.affine[:3] @ [*[(factor - 1) / 2] * 3, 1.0]
    return Grid(tuple(-(-size // factor) for size in grid.shape), affine)


def _corners(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1).T
