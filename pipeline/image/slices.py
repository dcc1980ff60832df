"""Choosing slices of a volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MIN_FILLED = 0.05
"""Share of a slice that its foreground must fill to be looked at, where slices are cut that the volume has not."""


def evenly_spaced(slices: Sequence[int], most: int) -> list[int]:
    """Return the middles of `most` equal parts of `slices`, or all of them where there are no more."""
    if len(slices) <= most:
        return list(slices)
    places = (np.arange(most) + 0.5) * len(slices) / most
    return [slices[int(place)] for place in places]


def filled_slices(mask: NDArray[np.bool_], axis: int) -> list[int]:
    """Return the indices, along an axis, of the slices of a volume that have some foreground.

    Args:
        mask: foreground, shape (x, y, z).
        axis: along which the slices follow each other.
    """
    others = tuple(other for other in range(mask.ndim) if other != axis)
    shares = np.mean(mask, axis=others)
    return [int(index) for index in np.flatnonzero(shares >= min(MIN_FILLED, float(shares.max())))]
