"""Neighbouring slices of a patch, near, far, or missing."""

from __future__ import annotations

import numpy as np

MISSING = 0.1
"""Probability that a patch has no neighbours, as a single slice: each slice is then its own neighbour."""
DISTANCES = (1, 2, 3)
"""Distances of neighbouring slices, in slices of the reference: far neighbours occur in scans with thick slices."""
PROBABILITIES = (0.7, 0.2, 0.1)
"""Probability of each distance."""


def draw_neighbours(index: int, count: int, size: int, generator: np.random.Generator) -> list[int]:
    """Return the slices that a network is given for one patch, in order, with the restored one in the middle.

    The order is reversed in half of the cases. Beyond the ends of the volume, the last slice is repeated.

    Args:
        index: slice that is restored.
        count: number of neighbours on each side; 0 uses no random numbers.
        size: number of slices of the reference.
        generator: source of the random numbers.

    Returns:
        Indices of 2 count + 1 slices.
    """
    if count == 0:
        return [index]
    distance = 0 if generator.random() < MISSING else int(generator.choice(DISTANCES, p=PROBABILITIES))
    direction = 1 if generator.integers(2) else -1
    offsets = direction * distance * np.arange(-count, count + 1)
    return np.clip(index + offsets, 0, size - 1).tolist()
