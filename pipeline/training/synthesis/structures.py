"""Structures of label maps, by the numbers of FreeSurfer (FreeSurferColorLUT.txt).

Labels that FreeSurfer does not know are structures of their own. Numbers from 500 to 599 are tissues outside of the
brain, as in the label maps of SynthSeg.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

WHITE_MATTER = (2, 41)
BRIGHT_IN_T1 = (*WHITE_MATTER, 7, 46, 16, 28, 60, 77, 78, 79, 85, 251, 252, 253, 254, 255)
"""White matter of cerebrum, cerebellum and brainstem, and tissue with similar intensities."""
GREY_MATTER = (3, 42, 8, 47, 9, 10, 11, 12, 13, 48, 49, 50, 51, 52, 17, 18, 53, 54, 19, 20, 55, 56, 26, 27, 58, 59)
FLUID = (4, 5, 14, 15, 24, 31, 43, 44, 63, 72)
FLUID_AROUND_BRAIN = 24

OUTSIDE = range(500, 600)
"""Tissues outside of the brain."""

MIRRORED = (
    (range(1, 14), 39),
    (range(17, 21), 36),
    (range(25, 40), 32),
    (range(136, 138), 27),
    (range(1000, 2000), 1000),
)
"""Labels of the left hemisphere, and the distance to those of the right one."""


@cache
def left_of(count: int) -> NDArray[np.intp]:
    """Return the label of the left hemisphere for each of the labels 0 to `count` - 1; other labels are unchanged."""
    table = np.arange(count)
    for left, distance in MIRRORED:
        pairs = np.array([label for label in left if label + distance < count], dtype=np.intp)
        table[pairs + distance] = pairs
    return table


@cache
def is_brain(count: int, with_fluid_around: bool) -> NDArray[np.bool_]:
    """Return which of the labels 0 to `count` - 1 remain after skull-stripping."""
    labels = np.arange(count)
    removed = (labels == 0) | ((labels >= OUTSIDE.start) & (labels < OUTSIDE.stop))
    return ~removed if with_fluid_around else ~(removed | (labels == FLUID_AROUND_BRAIN))
