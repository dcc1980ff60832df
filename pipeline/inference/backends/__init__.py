"""How a network is computed; one file a backend. `infer.backend` names it, and `torch` is the reference for the others.

A backend is a module with these functions:

    usable(network) -> bool
        Whether this machine can compute the network with it, where the network is.
    prepare(network, precision, threads) -> Compute
        Makes ready whatever it needs. Of weights that change afterwards it need not know.

They agree to 1e-4 of the normalised range in float32 (tests/unit/test_backends.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Compute = Callable[[NDArray[np.float32], float], NDArray[np.float32]]
"""Maps slices, shape (slice, rows, columns), and the noise that the network is told, as a fraction of the normalised
range, to restored slices, shape (slice, rows * factor, columns * factor)."""
