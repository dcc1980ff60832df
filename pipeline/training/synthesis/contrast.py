"""Random intensities of the structures of a label map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.training.synthesis.structures import BRIGHT_IN_T1, FLUID, GREY_MATTER, left_of

MEAN_RANGE = (0.05, 1.0)
SPREAD_RANGE = (0.0, 0.06)
STRENGTH_RANGE = (0.2, 1.0)
"""Range of a factor of all spreads, since the tissues of a single scan are about equally noisy."""
GAMMA_RANGE = (0.7, 1.4)

ORDERED_PROBABILITY = 0.5
"""Probability that brain tissues are ordered as in one of `ORDERS`; otherwise their means are independent."""
ORDERS = ((FLUID, GREY_MATTER, BRIGHT_IN_T1), (BRIGHT_IN_T1, GREY_MATTER, FLUID), (FLUID, BRIGHT_IN_T1, GREY_MATTER))
"""Tissues from dark to bright as in T1-weighted, T2-weighted and FLAIR images."""
MIN_STEP = 0.08
"""Minimum difference between the means of ordered tissues."""
VARIATION = 0.04
"""Standard deviation of the means of the structures of a tissue, if tissues are ordered."""

BRIGHT_BACKGROUND_PROBABILITY = 0.2
"""Probability of a background with noise; otherwise it is 0."""
BACKGROUND_MEAN_RANGE = (0.0, 0.1)
BACKGROUND_SPREAD_RANGE = (0.0, 0.03)


@dataclass(frozen=True)
class Contrast:
    """Intensities of labels, before they are normalised.

    Attributes:
        means: mean of each label, shape (labels,), float32. The last one is that of lesions.
        spreads: standard deviation of the texture within each label, same shape, float32.
        gamma: exponent that is applied to all intensities.
    """

    means: NDArray[np.float32]
    spreads: NDArray[np.float32]
    gamma: np.float32

    @property
    def lesion(self) -> int:
        """Label of lesions."""
        return len(self.means) - 1


def draw_contrast(label_count: int, generator: np.random.Generator) -> Contrast:
    """Draw intensities of the labels 0 to `label_count` - 1 and of lesions; left and right structures are alike."""
    left = np.append(left_of(label_count), label_count)
    means = generator.uniform(*MEAN_RANGE, left.size)
    spreads = generator.uniform(*STRENGTH_RANGE) * generator.uniform(*SPREAD_RANGE, left.size)
    if generator.random() < ORDERED_PROBABILITY:
        _order_tissues(means[:label_count], generator)
    means, spreads = means[left], spreads[left]
    means[0] = spreads[0] = 0
    if generator.random() < BRIGHT_BACKGROUND_PROBABILITY:
        means[0] = generator.uniform(*BACKGROUND_MEAN_RANGE)
        spreads[0] = generator.uniform(*BACKGROUND_SPREAD_RANGE)
    gamma = np.float32(generator.uniform(*GAMMA_RANGE))
    return Contrast(means.astype(np.float32), spreads.astype(np.float32), gamma)


def _order_tissues(means: NDArray[np.float64], generator: np.random.Generator) -> None:
    """Replace the means of the tissues of the brain by ordered ones, in place."""
    low, high = MEAN_RANGE
    levels = np.sort(generator.uniform(low, high - 2 * MIN_STEP, 3)) + MIN_STEP * np.arange(3)
    for level, tissue in zip(levels, ORDERS[generator.integers(len(ORDERS))], strict=True):
        labels = [label for label in tissue if label < means.size]
        means[labels] = np.clip(generator.normal(level, VARIATION, len(labels)), low, high)
