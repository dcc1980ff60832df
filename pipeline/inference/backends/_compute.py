"""The function that every backend returns.

It is not defined in the package itself, whose modules are listed by name where numpy is not installed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Compute = Callable[[NDArray[np.float32], float], NDArray[np.float32]]
"""Restores slices, shape (slice, depth, rows, columns), given their noise level as a fraction of the normalised range.
Along the axis `depth` are the slice and its neighbours, as many as `Shape.depth`. Returns shape (slice, rows * factor,
columns * factor)."""

FULL_PRECISION = "float32"
