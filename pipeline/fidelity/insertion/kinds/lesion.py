"""A round lesion: a disk, the cross section of a sphere. Its size is the diameter."""

from __future__ import annotations

import numpy as np

from pipeline.fidelity.insertion.structure import Structure, disk, rasterise

TITLE = "lesion"


def reach(size_voxels: float) -> float:
    """Return the radius of the disk, in voxels."""
    return size_voxels / 2


def structure(size_voxels: float, direction: float, radius: int) -> Structure:
    """Return a disk; arguments as in this package's docstring."""
    signal = rasterise(disk(size_voxels), direction, radius)
    return Structure(signal, np.zeros_like(signal), signal)
