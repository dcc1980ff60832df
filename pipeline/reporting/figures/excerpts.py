"""Excerpts of validation slices as the network learnt to restore them, as rows of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.reporting.figures.slices import data_uri, fit, to_grey
from pipeline.reporting.training_inputs import Samples

MAX_EXCERPTS = 4
MAX_STEPS = 6
"""Steps that are shown, the first and the last always among them."""

WHITE_PERCENTILE = 99.5
BUDGET_BYTES = 1_400_000
"""What the pictures of all networks together may take of a page."""

QUALITIES = (None, 80, 50)
"""From lossless to coarse; the first one that keeps to the budget is taken."""


@dataclass(frozen=True)
class Cell:
    """One picture as data URI, and what it shows."""

    image: str
    text: str


@dataclass(frozen=True)
class Grid:
    """Pictures of one network: a row an excerpt, a column a state.

    Attributes:
        headings: of the columns: low resolution, the steps, reference.
        rows: pictures by excerpt.
        lossless: whether the pictures hold every grey level that was drawn.
        note: which states are shown.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    lossless: bool
    note: str

    @property
    def size_bytes(self) -> int:
        """Bytes that the pictures take in the page."""
        return sum(len(cell.image) for row in self.rows for cell in row)


def shown_steps(steps: Sequence[int]) -> list[int]:
    """Return at most `MAX_STEPS` of the steps, evenly spaced in their order, with the first and the last."""
    if len(steps) <= MAX_STEPS:
        return list(steps)
    places = np.rint(np.linspace(0, len(steps) - 1, MAX_STEPS)).astype(int)
    return [steps[place] for place in places]


def build_grids(samples: Sequence[Samples], titles: Sequence[str]) -> list[Grid]:
    """Draw the excerpts of several networks, all with the quality that lets them fit into one page.

    Args:
        samples: of each network.
        titles: of the networks, for the words.
    """
    grids: list[Grid] = []
    for quality in QUALITIES:
        grids = [_grid(one, title, quality) for one, title in zip(samples, titles, strict=True)]
        if sum(grid.size_bytes for grid in grids) <= BUDGET_BYTES:
            break
    return grids


def _grid(samples: Samples, title: str, quality: int | None) -> Grid:
    steps = shown_steps(list(samples.steps))
    states = {"Low resolution": samples.low, **{f"Step {step}": samples.steps[step] for step in steps}}
    states["Reference"] = samples.reference
    white = float(np.percentile(samples.reference, WHITE_PERCENTILE)) if samples.reference.size else 1.0
    rows = tuple(
        tuple(
            Cell(_picture(stack[excerpt], white, quality), f"{title}, excerpt {excerpt + 1}: {heading.lower()}")
            for heading, stack in states.items()
        )
        for excerpt in range(min(len(samples.reference), MAX_EXCERPTS))
    )
    return Grid(tuple(states), rows, quality is None, _note(steps, list(samples.steps)))


def _picture(excerpt: NDArray[np.floating], white: float, quality: int | None) -> str:
    return data_uri(to_grey(fit(np.nan_to_num(excerpt)), 0.0, white), quality)


def _note(shown: Sequence[int], steps: Sequence[int]) -> str:
    if not steps:
        return "No state between the start and the end was kept."
    left_out = len(steps) - len(shown)
    even = len({later - earlier for earlier, later in pairwise(steps)}) <= 1
    every = f"every {steps[1] - steps[0]} steps" if len(steps) > 1 and even else f"{len(steps)} times"
    missing = "one state is" if left_out == 1 else f"{left_out} states are"
    return f"Excerpts were kept {every}{f'; {missing} not shown' if left_out else ''}."
