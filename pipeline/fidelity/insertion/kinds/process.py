"""A thin process of a neuron, as in electron micrographs: two parallel membranes. Its size is the outer width.

The membranes are a voxel wide, as at 8 nm, and 12 voxels long. At a width of 2 voxels they touch, and it is a vessel.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.fidelity.insertion.structure import Structure, bar, rasterise

TITLE = "thin process"
LENGTH_VOXELS, MEMBRANE_VOXELS = 12.0, 1.0


def reach(size_voxels: float) -> float:
    """Return the distance of the corners from the centre, in voxels."""
    return math.hypot(LENGTH_VOXELS, size_voxels) / 2


def structure(size_voxels: float, direction: float, radius: int) -> Structure:
    """Return two parallel bars; arguments as in this package's docstring."""
    gap = size_voxels - 2 * MEMBRANE_VOXELS
    signal = rasterise(bar(LENGTH_VOXELS, size_voxels), direction, radius)
    if gap > 0:
        signal -= rasterise(bar(LENGTH_VOXELS, gap), direction, radius)
    return Structure(signal, np.zeros_like(signal), signal)
