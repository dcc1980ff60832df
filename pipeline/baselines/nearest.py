"""Nearest-neighbour interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.physics.forward import ForwardModel

TITLE = "Nearest neighbour"
DESCRIPTION = "Every high-resolution voxel has the value of the low-resolution voxel that covers it."


def upsample(lr: NDArray[np.floating], model: ForwardModel, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Repeat every voxel along each axis; see `pipeline.baselines` for arguments and result."""
    del settings
    result = np.asarray(lr, dtype=np.float32)
    for axis, factor in enumerate(model.factors):
        result = np.repeat(result, factor, axis=axis)
    return result
