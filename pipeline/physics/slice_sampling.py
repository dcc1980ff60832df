"""Spacing and thickness of slices relative to the voxel size within them."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.physics.forward import ForwardModel
from pipeline.physics.operators import slice_profile


class SliceSampling(NamedTuple):
    """Sampling across slices, in units of the restored voxels.

    Attributes:
        spacing: distance of the centres of neighbouring slices.
        thickness: full width at half maximum of the slice profile.
    """

    spacing: float
    thickness: float


def slice_sampling(model: ForwardModel) -> SliceSampling:
    """Return the sampling across the slices of a forward model; without a slice profile they are contiguous.

    Raises:
        UserError: the thickness is given in mm, but the voxel size is unknown.
    """
    axis = model.slice_axis
    factor = float(model.factors[axis])
    spacing = None if model.spacing_mm is None else model.spacing_mm[axis]
    profiles = [one for one in model.operators if isinstance(one, slice_profile.Parameters)]
    widths = [slice_profile.width_in_voxels(factor, spacing, one) for one in profiles if one.along != "in_plane"]
    return SliceSampling(factor, max(widths, default=factor))
