"""Select and cut slices of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.image import Image

MIN_FILLED = 0.05
"""Minimum foreground fraction of slices that are cut along another axis than the volume's own slices."""


def evenly_spaced(slices: Sequence[int], most: int) -> list[int]:
    """Return `most` evenly spaced slices, the middles of equal parts; all of them if there are no more."""
    if len(slices) <= most:
        return list(slices)
    places = (np.arange(most) + 0.5) * len(slices) / most
    return [slices[int(place)] for place in places]


def filled_slices(mask: NDArray[np.bool_], axis: int) -> list[int]:
    """Return the indices along an axis of the slices with foreground.

    Args:
        mask: foreground, shape (x, y, z).
        axis: axis along which the slices follow each other.
    """
    others = tuple(other for other in range(mask.ndim) if other != axis)
    shares = np.mean(mask, axis=others)
    return [int(index) for index in np.flatnonzero(shares >= min(MIN_FILLED, float(shares.max())))]


def cut_block(image: Image, slices: tuple[int, int] | None, axis: int) -> Image:
    """Cut slices [start, stop) along an axis, with all their channels, and update the affine.

    Args:
        image: the whole volume.
        slices: first slice and end, counted in sections; None keeps all.
        axis: axis along which the slices follow each other.

    Raises:
        UserError: the volume has fewer slices.
    """
    sections = image.stack.sections_of(image.data.shape[axis])
    count = int(sections[-1]) + 1
    start, stop = slices or (0, count)
    if stop > count:
        raise UserError(f"slices [{start}, {stop}) do not exist; there are only {count}.")
    first, last = (int(place) for place in np.searchsorted(sections, [start, stop]))
    index = [slice(None)] * 3
    index[axis] = slice(first, last)
    offset = np.zeros(4)
    offset[axis], offset[3] = start, 1
    affine = image.affine.copy()
    affine[:, 3] = image.affine @ offset
    stack = replace(image.stack, names=image.stack.names[first:last])
    if stack.has_channels:
        stack = replace(stack, sections=tuple((sections[first:last] - start).tolist()))
    return image.with_data(image.data[tuple(index)], affine=affine, stack=stack).with_block(slices=(start, stop))
