"""Non-local means denoising of the low-resolution slices, followed by cubic B-spline interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.baselines import bspline3
from pipeline.physics.denoising import non_local_means
from pipeline.physics.forward import ForwardModel

TITLE = "Non-local means, cubic B-spline"
DESCRIPTION = (
    "Non-local means on the low-resolution slices, tuned on validation (Buades, Coll and Morel, IEEE Conference on "
    "Computer Vision and Pattern Recognition 2:60-65, 2005), then the cubic B-spline."
)

STRENGTHS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5)
"""Candidate filter strengths, in standard deviations of the noise."""
PATCH_SIZES = (3, 5)
"""Candidate sides of the compared patches, in low-resolution voxels."""
PATCH_DISTANCES = (3, 6)
"""Candidate maximum displacements between compared patches, in low-resolution voxels."""


def candidates(sigma: float) -> list[dict[str, Any]]:
    """Return the candidate settings for tuning, of which the first does not denoise.

    Args:
        sigma: standard deviation of the noise, in normalised intensities.
    """
    plain = (0.0, PATCH_SIZES[0], PATCH_DISTANCES[0])
    return [
        {"h_in_sigma": strength, "patch_size": size, "patch_distance": distance, "sigma": sigma}
        for strength, size, distance in [plain, *product(STRENGTHS, PATCH_SIZES, PATCH_DISTANCES)]
    ]


def default_settings(sigma: float) -> dict[str, Any]:
    """Return settings for a standard deviation of the noise, in normalised intensities."""
    return {"h_in_sigma": 1.0, "patch_size": PATCH_SIZES[0], "patch_distance": PATCH_DISTANCES[0], "sigma": sigma}


def upsample(lr: NDArray[np.floating], model: ForwardModel, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Denoise, then interpolate; see `pipeline.baselines` for arguments and result.

    Slices are perpendicular to the axis of factor 1, or to the last axis if all axes are upsampled.
    """
    slice_axis = model.factors.index(1) if 1 in model.factors else len(model.factors) - 1
    return bspline3.upsample(non_local_means(lr, slice_axis, settings), model, {})
