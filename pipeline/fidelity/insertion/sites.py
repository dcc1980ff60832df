"""Sites of inserted structures: random places in the foreground whose windows do not overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline import plugins

KINDS = "pipeline.fidelity.insertion.kinds"
DIRECTIONS = tuple(math.pi / 4 * step for step in range(8))
"""Directions of structures, in radians."""


class Condition(NamedTuple):
    """Kind (a module of pipeline.fidelity.insertion.kinds) and size in voxels of inserted structures."""

    kind: str
    size_voxels: float

    def radius(self, margin: int) -> int:
        """Return the radius of the window: the reach of the structure plus a margin of background."""
        return math.ceil(plugins.load(KINDS, self.kind).reach(self.size_voxels)) + margin


class Sites(NamedTuple):
    """Places in slices: index of the slice, row and column, shape (sites, 3); and the index of each direction."""

    places: NDArray[np.intp]
    directions: NDArray[np.intp]


def insertion_sites(
    foreground: NDArray[np.bool_],
    conditions: Sequence[Condition],
    count: int,
    margin: int,
    generator: np.random.Generator,
) -> dict[Condition, Sites]:
    """Draw the sites of structures for all conditions in turn, while there is room.

    Args:
        foreground: of some slices, shape (slices, rows, columns); windows lie inside it.
        conditions: kinds and sizes.
        count: sites per condition; fewer where no room is left.
        margin: width of the background around a structure, in voxels.
        generator: random number generator.
    """
    occupied = np.zeros_like(foreground)
    valid = {radius: _window_fits(foreground, radius) for radius in {one.radius(margin) for one in conditions}}
    found: dict[Condition, list[tuple[int, int, int]]] = {condition: [] for condition in conditions}
    for _ in range(count):
        for condition, places in found.items():
            radius = condition.radius(margin)
            place = _free_place(valid[radius], occupied, radius, generator)
            if place is not None:
                places.append(place)
                index, row, column = place
                rows, columns = (slice(centre - radius, centre + radius + 1) for centre in (row, column))
                occupied[index, rows, columns] = True
    return {
        condition: Sites(
            np.array(places, dtype=np.intp).reshape(-1, 3), generator.integers(len(DIRECTIONS), size=len(places))
        )
        for condition, places in found.items()
    }


def background_sites(
    foreground: NDArray[np.bool_], occupied: NDArray[np.bool_], radius: int, count: int, generator: np.random.Generator
) -> Sites:
    """Draw sites whose windows lie in the foreground and contain no structure; windows may overlap.

    Args:
        foreground: shape (slices, rows, columns).
        occupied: voxels to avoid, of the same shape.
        radius: of the windows.
        count: number of sites; no site is returned if there is no such place.
        generator: random number generator.
    """
    places = np.argwhere(_window_fits(foreground & ~occupied, radius))
    if not len(places):
        return Sites(np.zeros((0, 3), dtype=np.intp), np.zeros(0, dtype=np.intp))
    return Sites(places[generator.integers(len(places), size=count)], generator.integers(len(DIRECTIONS), size=count))


def _window_fits(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Return where a square window lies inside a mask, slice by slice."""
    side = 2 * radius + 1
    return np.asarray(ndimage.minimum_filter(mask, size=(1, side, side), mode="constant", cval=0), dtype=bool)


def _free_place(
    valid: NDArray[np.bool_], occupied: NDArray[np.bool_], radius: int, generator: np.random.Generator
) -> tuple[int, int, int] | None:
    """Draw a place whose window overlaps no other; None if there is no room in any slice."""
    for index in generator.permutation(len(valid)):
        free = np.argwhere(valid[index] & _window_fits(~occupied[index][None], radius)[0])
        if len(free):
            row, column = free[generator.integers(len(free))]
            return int(index), int(row), int(column)
    return None
