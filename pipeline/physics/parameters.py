"""Conversion of physical parameters to voxels and axes, and comparison with the range of training parameters."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.parameters import Direction
from pipeline.errors import UserError

RANGE_TOLERANCE = 0.25
"""Maximum relative deviation of an image from either end of the range that a network was trained on."""


def in_voxels(length_mm: float, spacing_mm: float | None, what: str) -> float:
    """Convert a length to voxels.

    Args:
        length_mm: length in millimetres.
        spacing_mm: voxel spacing in millimetres; None if unknown.
        what: name of the parameter, for the message.

    Raises:
        UserError: the image has no voxel size.
    """
    if spacing_mm is None:
        raise UserError(
            f"degrade.operators: {what} is a length, but the voxel size of this image is unknown. Set the volume's "
            "voxel_um, or use a parameter in voxels."
        )
    return length_mm / spacing_mm


def axes_along(direction: Direction, slice_axis: int, dimensions: int = 3) -> Sequence[int]:
    """Return the array axes of a direction."""
    plane = [axis for axis in range(dimensions) if axis != slice_axis]
    return {"in_plane": plane, "through_plane": [slice_axis], "isotropic": list(range(dimensions))}[direction]


def is_out_of_range(values: Sequence[float], limits: Sequence[float]) -> bool:
    """Return whether values lie outside limits (low, high) by more than the fraction `RANGE_TOLERANCE` of a limit."""
    low, high = limits
    return min(values) < low * (1 - RANGE_TOLERANCE) or max(values) > high * (1 + RANGE_TOLERANCE)
