"""Choosing slices of a volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def evenly_spaced(slices: Sequence[int], most: int) -> list[int]:
    """Returns the middles of `most` equal parts of `slices`, or all of them where there are no more."""
    if len(slices) <= most:
        return list(slices)
    places = (np.arange(most) + 0.5) * len(slices) / most
    return [slices[int(place)] for place in places]
