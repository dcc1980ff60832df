"""What every backend gives; apart from the package, whose modules are found by name where numpy is absent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Compute = Callable[[NDArray[np.float32], float], NDArray[np.float32]]
"""Maps slices, shape (slice, rows, columns), and the noise that the network is told, as a fraction of the normalised
range, to restored slices, shape (slice, rows * factor, columns * factor)."""

FULL_PRECISION = "float32"
