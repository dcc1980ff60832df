"""Random skull-stripping of drawn images.

The edge of a stripped brain is a step to 0 that no point spread function blurred, which a network has to know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.training.synthesis.structures import is_brain

PROBABILITY = 0.3
FLUID_KEPT_PROBABILITY = 0.7
"""Probability that a stripped image keeps the fluid around the brain."""
MIN_BRAIN = 0.1
"""Minimum fraction of brain in a patch that may be stripped."""
LEVELS = (0.3, 0.7)


@dataclass(frozen=True)
class Stripping:
    """Skull-stripping: voxels with less brain than `level` are set to 0.

    Attributes:
        brain: which labels are brain, lesions last, shape (labels,).
        level: minimum fraction of brain.
    """

    brain: NDArray[np.bool_]
    level: float


def draw_stripping(labels: NDArray[np.int16], label_count: int, generator: np.random.Generator) -> Stripping | None:
    """Draw whether and how an image is stripped.

    Args:
        labels: of the patch, shape (rows, columns).
        label_count: the largest label of the map plus 1.
        generator: source of the random numbers.
    """
    with_fluid = bool(generator.random() < FLUID_KEPT_PROBABILITY)
    brain = is_brain(label_count, with_fluid)
    if generator.random() >= PROBABILITY or brain[labels].mean() < MIN_BRAIN:
        return None
    return Stripping(np.append(brain, True), float(generator.uniform(*LEVELS)))
