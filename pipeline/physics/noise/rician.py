"""Noise of magnitude MRI (Gudbjartsson and Patz, Magnetic Resonance in Medicine 34:910-914, 1995)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def add_noise(image: NDArray[np.float32], sigma: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Adds complex Gaussian noise and takes the magnitude.

    Args:
        image: normalised intensities, any shape.
        sigma: standard deviation per channel (real and imaginary), in the same normalised units.
        generator: source of the random numbers.

    Returns:
        The noisy magnitude, float32, of the same shape.
    """
    real = image + sigma * generator.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * generator.standard_normal(image.shape, dtype=np.float32)
    return np.hypot(real, imaginary)
