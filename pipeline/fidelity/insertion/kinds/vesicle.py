"""A vesicle, as in electron micrographs: a ring, the cross section of a membrane. Its size is the outer diameter.

The membrane is a voxel wide, as at 8 nm. With a diameter of 2 voxels nothing is left inside, and it is a lesion.
"""

from __future__ import annotations

import numpy as np

from pipeline.fidelity.insertion.structure import Structure, disk, rasterise

TITLE = "vesicle"
MEMBRANE_VOXELS = 1.0


def reach(size_voxels: float) -> float:
    """Return the outer radius, in voxels."""
    return size_voxels / 2


def structure(size_voxels: float, direction: float, radius: int) -> Structure:
    """Return a ring; arguments as in this package's docstring."""
    whole, inside = (
        rasterise(disk(max(0.0, size)), direction, radius) for size in (size_voxels, size_voxels - 2 * MEMBRANE_VOXELS)
    )
    signal = whole - inside
    return Structure(signal, np.zeros_like(signal), signal)
