"""Validation excerpts at several steps of a training, as a grid of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.reporting.figures.slices import data_uri, fit, to_grey
from pipeline.reporting.training_record import Samples

MAX_EXCERPTS = 4
MAX_STEPS = 6
"""Maximum number of steps shown; the first and the last are always included."""

WHITE_PERCENTILE = 99.5
BUDGET_BYTES = 1_400_000
"""Maximum size of the images of all networks on a page."""

QUALITIES = (None, 80, 50)
"""WebP qualities in the order in which they are tried until the images fit the budget; None is lossless."""


@dataclass(frozen=True)
class GridImage:
    """One image as a data URI, and its alternative text."""

    image: str
    alt: str


@dataclass(frozen=True)
class ExcerptGrid:
    """Images of one network: one row per excerpt, one column per step.

    Attributes:
        headings: headings of the columns: low resolution, the steps, reference.
        rows: images of each excerpt.
        lossless: whether the images are stored without loss.
        note: which steps are shown.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[GridImage, ...], ...]
    lossless: bool
    note: str

    @property
    def size_bytes(self) -> int:
        """Size of the images in the page."""
        return sum(len(cell.image) for row in self.rows for cell in row)


def shown_steps(steps: Sequence[int]) -> list[int]:
    """Return at most `MAX_STEPS` evenly spaced steps, including the first and the last."""
    if len(steps) <= MAX_STEPS:
        return list(steps)
    places = np.rint(np.linspace(0, len(steps) - 1, MAX_STEPS)).astype(int)
    return [steps[place] for place in places]


def excerpt_grids(samples: Sequence[Samples], titles: Sequence[str]) -> list[ExcerptGrid]:
    """Draw the excerpts of several networks with the best quality at which they fit on one page.

    Args:
        samples: excerpts of each network.
        titles: titles of the networks, for the alternative texts.
    """
    grids: list[ExcerptGrid] = []
    for quality in QUALITIES:
        grids = [_grid(one, title, quality) for one, title in zip(samples, titles, strict=True)]
        if sum(grid.size_bytes for grid in grids) <= BUDGET_BYTES:
            break
    return grids


def _grid(samples: Samples, title: str, quality: int | None) -> ExcerptGrid:
    steps = shown_steps(list(samples.steps))
    states = {"Low resolution": samples.low, **{f"Step {step}": samples.steps[step] for step in steps}}
    states["Reference"] = samples.reference
    white = float(np.percentile(samples.reference, WHITE_PERCENTILE)) if samples.reference.size else 1.0

    def image(excerpt: NDArray[np.floating]) -> str:
        return data_uri(to_grey(fit(np.nan_to_num(excerpt)), 0.0, white), quality)

    rows = tuple(
        tuple(
            GridImage(image(stack[excerpt]), f"{title}, excerpt {excerpt + 1}: {heading.lower()}")
            for heading, stack in states.items()
        )
        for excerpt in range(min(len(samples.reference), MAX_EXCERPTS))
    )
    return ExcerptGrid(tuple(states), rows, quality is None, _note(steps, list(samples.steps)))


def _note(shown: Sequence[int], steps: Sequence[int]) -> str:
    if not steps:
        return "No intermediate state was saved."
    left_out = len(steps) - len(shown)
    even = len({later - earlier for earlier, later in pairwise(steps)}) <= 1
    every = f"every {steps[1] - steps[0]} steps" if len(steps) > 1 and even else f"{len(steps)} times"
    missing = "one state is" if left_out == 1 else f"{left_out} states are"
    return f"Excerpts were saved {every}{f'; {missing} not shown' if left_out else ''}."
