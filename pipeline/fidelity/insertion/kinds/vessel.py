"""A straight segment of a vessel: a bar with a length of 12 voxels. Its size is the width."""

from __future__ import annotations

import math

import numpy as np

from pipeline.fidelity.insertion.structure import Structure, bar, rasterise

TITLE = "vessel"
LENGTH_VOXELS = 12.0


def reach(size_voxels: float) -> float:
    """Return the distance of the corners from the centre, in voxels."""
    return math.hypot(LENGTH_VOXELS, size_voxels) / 2


def structure(size_voxels: float, direction: float, radius: int) -> Structure:
    """Return a bar; arguments as in this package's docstring."""
    signal = rasterise(bar(LENGTH_VOXELS, size_voxels), direction, radius)
    return Structure(signal, np.zeros_like(signal), signal)
