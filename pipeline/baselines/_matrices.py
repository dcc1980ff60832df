"""Methods that are one matrix per axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.physics.grid import apply_along_axes

BuildMatrix = Callable[[int, int], NDArray[np.float64]]


def enlarge(lr: NDArray[np.floating], factors: Sequence[int], build: BuildMatrix) -> NDArray[np.float32]:
    """Multiply each axis by `build(size, factor)`, of shape (size * factor, size), where the factor is above 1."""
    pairs = zip(lr.shape, factors, strict=True)
    matrices = [None if factor == 1 else build(size, factor) for size, factor in pairs]
    return np.ascontiguousarray(apply_along_axes(matrices, lr), dtype=np.float32)
