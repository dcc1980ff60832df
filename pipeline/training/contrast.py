"""Random changes of contrast, so that a network trained on one scanner meets the contrasts of others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GAMMA_RANGE = (0.6, 1.6)
SCALE_RANGE = (0.7, 1.1)


def change_contrast(image: NDArray[np.floating], generator: np.random.Generator) -> NDArray[np.float32]:
    """Applies a random monotone tone curve, scale * image ** gamma; zero stays zero, as air does.

    Args:
        image: normalised intensities, not negative (what is below zero is taken as zero), any shape.
        generator: source of the random numbers; gamma is drawn uniformly on a logarithmic scale.

    Returns:
        Changed intensities, float32, same shape.
    """
    gamma = np.exp(generator.uniform(*np.log(GAMMA_RANGE)))
    scale = generator.uniform(*SCALE_RANGE)
    return (scale * np.maximum(image, 0) ** gamma).astype(np.float32)
