"""Nearest-neighbour interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import overlaps, padded_size
from pipeline.physics.interpolation import enlarge

TITLE = "Nearest neighbour"
DESCRIPTION = (
    "Every high-resolution voxel has the value of the low-resolution voxel that covers it; where two of them do, their "
    "mean, weighted by the parts that they cover."
)


def upsample(lr: NDArray[np.floating], model: ForwardModel, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Repeat every voxel along each axis; see `pipeline.baselines` for arguments and result."""
    del settings
    result = np.asarray(lr, dtype=np.float32)
    for axis, factor in enumerate(model.factors):
        if isinstance(factor, int):
            result = np.repeat(result, factor, axis=axis)
        else:
            result = enlarge(result, [factor if other == axis else 1 for other in range(result.ndim)], axis_matrix)
    return result


def axis_matrix(size: int, factor: float) -> NDArray[np.float64]:
    """Return the weights of the low-resolution voxels along one axis, of shape (padded size, size)."""
    shared = overlaps(size, factor, padded_size(size, factor)).T
    return shared / shared.sum(axis=1, keepdims=True)
