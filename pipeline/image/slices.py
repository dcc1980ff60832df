"""Choosing slices of a volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def evenly_spaced(slices: Sequence[int], most: int) -> list[int]:
    """Returns at most `most` of `slices`, evenly spaced from the first to the last; the middle one if it is one."""
    if most == 1:
        return [slices[len(slices) // 2]]
    positions = np.linspace(0, len(slices) - 1, min(most, len(slices)))
    return [slices[round(float(position))] for position in positions]
