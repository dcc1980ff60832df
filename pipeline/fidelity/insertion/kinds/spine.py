"""A dendritic spine: a round head on one side of a shaft. Its size is the diameter of the head.

The shaft, 2 voxels wide and 12 long, is present with and without the head, which is the signal to detect. The observer
compares both sides of the shaft, so that a shaft alone, however blurred, gives no response.
"""

from __future__ import annotations

from pipeline.fidelity.insertion.structure import Structure, bar, disk, rasterise

TITLE = "spine"
SHAFT_LENGTH_VOXELS, SHAFT_WIDTH_VOXELS = 12.0, 2.0


def reach(size_voxels: float) -> float:
    """Return the distance of the outermost point of shaft and head from the centre of the shaft, in voxels."""
    return max(SHAFT_LENGTH_VOXELS / 2 + 0.5, SHAFT_WIDTH_VOXELS / 2 + size_voxels)


def structure(size_voxels: float, direction: float, radius: int) -> Structure:
    """Return head and shaft; arguments as in this package's docstring."""
    centre = (SHAFT_WIDTH_VOXELS + size_voxels) / 2
    head, mirrored = (rasterise(disk(size_voxels, side * centre), direction, radius) for side in (1, -1))
    shaft = rasterise(bar(SHAFT_LENGTH_VOXELS, SHAFT_WIDTH_VOXELS), direction, radius)
    return Structure(head, shaft, head - mirrored)
