"""Regularised least squares with a quadratic penalty on differences (Tikhonov, Soviet Mathematics Doklady 4, 1963).

Solved by conjugate gradients on the operators of the forward model, without storing their matrix; see
pipeline/physics/reconstruction.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.baselines._model_based import reconstruct_volume
from pipeline.physics.forward import ForwardModel

TITLE = "Regularised least squares"
DESCRIPTION = (
    "The image with the smallest sum of squared differences between the measurement and the forward model applied to "
    "the image, and of squared differences between neighbouring voxels, weighted as tuned on validation (Tikhonov, "
    "Soviet Mathematics Doklady 4:1035-1038, 1963), solved by conjugate gradients."
)
NEEDS_NEIGHBOURS = True

WEIGHTS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
"""Candidate weights of the penalty."""
MIN_SIGMA = 0.003
"""Without noise, default weights are those of this standard deviation: images are smooth, too."""


def candidates(sigma: float) -> list[dict[str, Any]]:
    """Return the candidate settings for tuning; they do not depend on the noise."""
    del sigma
    return [{"weight": weight} for weight in WEIGHTS]


def default_settings(sigma: float) -> dict[str, Any]:
    """Return settings for a standard deviation of the noise, in normalised intensities."""
    return {"weight": 0.7 * max(sigma, MIN_SIGMA)}


def upsample(lr: NDArray[np.floating], model: ForwardModel, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Reconstruct by least squares; see `pipeline.baselines` for arguments and result."""
    return reconstruct_volume(lr, model, "quadratic", settings)
