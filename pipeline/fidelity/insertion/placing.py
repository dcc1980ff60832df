"""Where structures are inserted: at random in the foreground, so that the windows around them do not overlap."""

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
"""In which structures may lie, in radians."""


class Condition(NamedTuple):
    """What is inserted: a module of pipeline.fidelity.insertion.kinds, and its size in voxels."""

    kind: str
    size_voxels: float

    def radius(self, margin: int) -> int:
        """Return the radius of the window: what the structure reaches, and a margin of background around it."""
        return math.ceil(plugins.load(KINDS, self.kind).reach(self.size_voxels)) + margin


class Sites(NamedTuple):
    """Places in slices: index of the slice, row and column, shape (sites, 3); and the direction at each of them."""

    places: NDArray[np.intp]
    directions: NDArray[np.intp]


def insert_sites(
    foreground: NDArray[np.bool_],
    conditions: Sequence[Condition],
    count: int,
    margin: int,
    generator: np.random.Generator,
) -> dict[Condition, Sites]:
    """Draw sites for every condition, in turn, as long as there is room.

    Args:
        foreground: of some slices, shape (slices, rows, columns); windows lie inside it.
        conditions: what is inserted.
        count: sites of each condition; fewer where no room is left.
        margin: of background around a structure, in voxels.
        generator: source of the random numbers.
    """
    taken = np.zeros_like(foreground)
    inside = {radius: _fits(foreground, radius) for radius in {one.radius(margin) for one in conditions}}
    found: dict[Condition, list[tuple[int, int, int]]] = {condition: [] for condition in conditions}
    for _ in range(count):
        for condition, places in found.items():
            radius = condition.radius(margin)
            place = _free_place(inside[radius], taken, radius, generator)
            if place is not None:
                places.append(place)
                taken[place[0], *_window(place[1:], radius)] = True
    return {
        condition: Sites(
            np.array(places, dtype=np.intp).reshape(-1, 3), generator.integers(len(DIRECTIONS), size=len(places))
        )
        for condition, places in found.items()
    }


def plain_sites(
    foreground: NDArray[np.bool_], used: NDArray[np.bool_], radius: int, count: int, generator: np.random.Generator
) -> Sites:
    """Draw sites whose windows lie in the foreground and hold nothing that is inserted; they may overlap.

    Args:
        foreground: shape (slices, rows, columns).
        used: voxels to keep away from, of the same shape.
        radius: of the windows.
        count: number of sites; none where no such place exists.
        generator: source of the random numbers.
    """
    places = np.argwhere(_fits(foreground & ~used, radius))
    if not len(places):
        return Sites(np.zeros((0, 3), dtype=np.intp), np.zeros(0, dtype=np.intp))
    return Sites(places[generator.integers(len(places), size=count)], generator.integers(len(DIRECTIONS), size=count))


def _fits(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Says where a square window lies inside a mask, slice by slice."""
    side = 2 * radius + 1
    return np.asarray(ndimage.minimum_filter(mask, size=(1, side, side), mode="constant", cval=0), dtype=bool)


def _free_place(
    inside: NDArray[np.bool_], taken: NDArray[np.bool_], radius: int, generator: np.random.Generator
) -> tuple[int, int, int] | None:
    """Draw a place in one of the slices, in which the window touches no other; None where none has room."""
    for index in generator.permutation(len(inside)):
        open_places = np.argwhere(inside[index] & _fits(~taken[index][None], radius)[0])
        if len(open_places):
            row, column = open_places[generator.integers(len(open_places))]
            return int(index), int(row), int(column)
    return None


def _window(place: Sequence[int], radius: int) -> tuple[slice, ...]:
    return tuple(slice(centre - radius, centre + radius + 1) for centre in place)
