"""Reconstruction with total variation (Rudin, Osher and Fatemi, Physica D 60, 1992), which preserves edges.

Solved by lagged diffusivity (Vogel and Oman, SIAM Journal on Scientific Computing 17, 1996) on the operators of the
forward model; see pipeline/physics/reconstruction.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.baselines._model_based import reconstruct_volume
from pipeline.physics.forward import ForwardModel

TITLE = "Total variation"
DESCRIPTION = (
    "The image with the smallest sum of squared differences between the measurement and the forward model applied to "
    "the image, and of its total variation (Rudin, Osher and Fatemi, Physica D 60:259-268, 1992), weighted and "
    "smoothed as tuned on validation, solved by lagged diffusivity (Vogel and Oman, SIAM Journal on Scientific "
    "Computing 17:227-238, 1996)."
)
NEEDS_NEIGHBOURS = True

WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Candidate weights of the penalty, in standard deviations of the noise."""
SMOOTHINGS = (0.02, 0.1, 0.3)
"""Candidate gradients, as fractions of the intensity range, below which the penalty is quadratic."""
MIN_SIGMA = 0.003
"""With less noise, the weights are those of this standard deviation: images are smooth, too."""


def candidates(sigma: float) -> list[dict[str, Any]]:
    """Return the candidate settings for tuning.

    Args:
        sigma: standard deviation of the noise, in normalised intensities.
    """
    level = max(sigma, MIN_SIGMA)
    return [{"weight": weight * level, "smoothing": smoothing} for smoothing, weight in product(SMOOTHINGS, WEIGHTS)]


def default_settings(sigma: float) -> dict[str, Any]:
    """Return settings for a standard deviation of the noise, in normalised intensities."""
    level = max(sigma, MIN_SIGMA)
    return {"weight": 0.12 * level, "smoothing": float(np.clip(5 * level, 0.02, 0.1))}


def upsample(lr: NDArray[np.floating], model: ForwardModel, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Reconstruct with total variation; see `pipeline.baselines` for arguments and result."""
    return reconstruct_volume(lr, model, "total_variation", settings)
