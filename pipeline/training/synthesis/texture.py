"""Random texture within the structures of a drawn image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FINE_RANGE = (0.35, 0.7)
COARSE = 1.2
COARSE_RANGE = (0.8, 2.5)
"""Standard deviations of the smoothing of white noise, in voxels."""
FIXED_COARSE_PROBABILITY = 0.5
"""Probability that the coarse texture has the scale `COARSE`; otherwise its scale is drawn from `COARSE_RANGE`."""


@dataclass(frozen=True)
class Texture:
    """Gaussian random fields of two scales, a field of its own for each slice.

    Attributes:
        seed: of the random fields.
        scales: standard deviations of the smoothing, in voxels.
        amplitudes: standard deviations of the two fields; their squares add up to 1.
    """

    seed: int
    scales: tuple[float, float]
    amplitudes: tuple[float, float]

    def of_slice(self, index: int, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return the texture of a slice, of mean 0 and standard deviation 1, which depends on seed and index alone."""
        generator = np.random.default_rng([self.seed, index])
        parts = zip(self.scales, self.amplitudes, strict=True)
        fine, coarse = (_smooth_noise(shape, scale, amplitude, generator) for scale, amplitude in parts)
        return fine + coarse


def draw_texture(generator: np.random.Generator) -> Texture:
    """Draw the scales of the texture and the share of the coarse one."""
    fixed = generator.random() < FIXED_COARSE_PROBABILITY
    scales = float(generator.uniform(*FINE_RANGE)), COARSE if fixed else float(generator.uniform(*COARSE_RANGE))
    share = float(generator.random())
    return Texture(int(generator.integers(2**32)), scales, (float(np.sqrt(1 - share)), float(np.sqrt(share))))


def _smooth_noise(
    shape: tuple[int, int], scale: float, amplitude: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    radius = max(1, round(2.5 * scale))
    kernel = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / scale))
    kernel /= np.linalg.norm(kernel)  # white noise keeps its variance
    noise = generator.standard_normal(shape, dtype=np.float32)
    for axis in (0, 1):
        noise = np.asarray(ndimage.correlate1d(noise, kernel, axis=axis, mode="wrap"), dtype=np.float32)
    return noise * np.float32(amplitude)
