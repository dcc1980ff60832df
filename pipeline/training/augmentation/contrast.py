"""Contrast augmentation, so that a network trained on one scanner generalises to others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

GAMMA_RANGE = (0.6, 1.6)
SCALE_RANGE = (0.7, 1.1)

Curve = Callable[[NDArray[np.floating]], NDArray[np.float32]]
"""Maps intensities voxel by voxel."""


def draw_curve(generator: np.random.Generator) -> Curve:
    """Return a random monotone tone curve, scale * image ** gamma, which maps zero, the background, to zero.

    Args:
        generator: source of the random numbers; gamma is drawn uniformly on a logarithmic scale.

    Returns:
        A function of normalised intensities of any shape; negative ones are set to zero.
    """
    # Powers in single precision take a tenth of the time.
    gamma = np.float32(np.exp(generator.uniform(*np.log(GAMMA_RANGE))))
    scale = np.float32(generator.uniform(*SCALE_RANGE))
    return lambda image: scale * np.maximum(image, 0, dtype=np.float32) ** gamma
