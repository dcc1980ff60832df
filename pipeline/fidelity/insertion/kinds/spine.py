"""A dendritic spine: a round head at one side of a shaft. Its size is the diameter of the head.

The shaft, 2 voxels wide and 12 long, stands there with and without the head, which is to be found. The observer
compares both sides of the shaft, so that a shaft alone, however blurred, gives no answer.
"""

from __future__ import annotations

from pipeline.fidelity.insertion.structure import Structure, bar, covered, disk

TITLE = "spine"
SHAFT_LENGTH_VOXELS, SHAFT_WIDTH_VOXELS = 12.0, 2.0


def reach(size_voxels: float) -> float:
    """Return how far shaft and head extend from the middle of the shaft, in voxels."""
    return max(SHAFT_LENGTH_VOXELS / 2 + 0.5, SHAFT_WIDTH_VOXELS / 2 + size_voxels)


def structure(size_voxels: float, direction: float, radius: int) -> Structure:
    """Return head and shaft; arguments as in this package's docstring."""
    centre = (SHAFT_WIDTH_VOXELS + size_voxels) / 2
    head, mirrored = (covered(disk(size_voxels, side * centre), direction, radius) for side in (1, -1))
    shaft = covered(bar(SHAFT_LENGTH_VOXELS, SHAFT_WIDTH_VOXELS), direction, radius)
    return Structure(head, shaft, head - mirrored)
