"""Thick slices relative to the voxel size within them: their spacing and thickness, and their deconvolution.

Networks that restore thick slices of any ratio see planes across the slices on the grid of the result. They are
reconstructed line by line, by least squares with a quadratic penalty on the differences of neighbouring voxels
(Tikhonov, Soviet Mathematics Doklady 4:1035-1038, 1963), which knows the slice profile and needs one matrix for all
lines. Interpolation would leave the network to undo the profile.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.physics.forward import ForwardModel
from pipeline.physics.operators import slice_profile

PENALTY = 1.0
"""Weight of the squared differences, divided by the noise level: little, since the network removes noise."""
MIN_SIGMA = 0.003
"""Lower bound of this noise level, as in the baseline `least_squares`."""


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


def deconvolution(model: ForwardModel, sigma: float) -> NDArray[np.float64]:
    """Return the matrix that reconstructs a line across thick slices, shape (padded size, slices); rows sum to one.

    Args:
        model: forward model of the slices.
        sigma: noise level, as a fraction of the intensity range.
    """
    # If the operator is a sum of terms, the first one dominates.
    matrix = model.terms[0][model.slice_axis]
    assert matrix is not None
    steps = np.diff(np.eye(matrix.shape[1]), axis=0)
    weight = PENALTY * max(sigma, MIN_SIGMA)
    solved = np.linalg.solve(matrix.T @ matrix + weight * steps.T @ steps, matrix.T)
    return solved / solved.sum(axis=1, keepdims=True)
