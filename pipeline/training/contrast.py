"""Random changes of contrast, so that a network trained on one scanner meets the contrasts of others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

GAMMA_RANGE = (0.6, 1.6)
SCALE_RANGE = (0.7, 1.1)


Curve = Callable[[NDArray[np.floating]], NDArray[np.float32]]
"""Changes intensities, one by one."""


def draw_curve(generator: np.random.Generator) -> Curve:
    """Return a random monotone tone curve, scale * image ** gamma; zero stays zero, as background does.

    Args:
        generator: source of the random numbers; gamma is drawn uniformly on a logarithmic scale.

    Returns:
        A function of normalised intensities, not negative (what is below zero is taken as zero), of any shape.
    """
    # In single precision powers take a tenth of the time.
    gamma = np.float32(np.exp(generator.uniform(*np.log(GAMMA_RANGE))))
    scale = np.float32(generator.uniform(*SCALE_RANGE))
    return lambda image: scale * np.maximum(image, 0, dtype=np.float32) ** gamma
