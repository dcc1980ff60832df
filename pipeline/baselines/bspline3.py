"""Interpolating cubic B-spline (Unser, Aldroubi and Eden, IEEE Transactions on Signal Processing 41, 1993)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.physics.forward import ForwardModel
from pipeline.physics.interpolation import bspline_matrix, enlarge

TITLE = "Cubic B-spline"
DESCRIPTION = (
    "Interpolating B-spline of degree three, mirrored at the borders "
    "(Unser, Aldroubi and Eden, IEEE Transactions on Signal Processing 41:821-833, 1993)."
)


def upsample(lr: NDArray[np.floating], model: ForwardModel, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Interpolate by cubic B-splines; see `pipeline.baselines` for arguments and result."""
    del settings
    return enlarge(lr, model.factors, bspline_matrix)
