"""Physical parameters in voxels: lengths, axes and the range of parameters that a network was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.parameters import Direction
from pipeline.errors import UserError

OUTSIDE = 0.25
"""How far an image may lie beyond either end of the range that a network was trained on, as a share of that end."""


def in_voxels(length_mm: float, spacing_mm: float | None, what: str) -> float:
    """Return a length in voxels.

    Args:
        length_mm: in millimetres.
        spacing_mm: distance between neighbouring voxels; None where nobody knows it.
        what: the parameter, for the message.

    Raises:
        UserError: the image has no voxel size.
    """
    if spacing_mm is None:
        raise UserError(
            f"degrade.operators: {what} is a length, but this image says nothing of the size of its voxels. Give the "
            "volume's voxel_um, or a parameter that is counted in voxels."
        )
    return length_mm / spacing_mm


def axes_along(direction: Direction, slice_axis: int, dimensions: int = 3) -> Sequence[int]:
    """Return the axes of an array along which something happens."""
    plane = [axis for axis in range(dimensions) if axis != slice_axis]
    return {"in_plane": plane, "through_plane": [slice_axis], "isotropic": list(range(dimensions))}[direction]


def is_outside(values: Sequence[float], limits: Sequence[float]) -> bool:
    """Return whether values lie beyond a range, from its low to its high end, by more than `OUTSIDE` of that end."""
    low, high = limits
    return min(values) < low * (1 - OUTSIDE) or max(values) > high * (1 + OUTSIDE)
