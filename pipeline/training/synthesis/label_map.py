"""Label maps from which images are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.training.synthesis.structures import is_brain

SAMPLE = 8192
"""Number of voxels that represent the whole map."""
MIN_BRAIN = 0.05
"""Minimum number of voxels of brain in a slice, relative to the slice with the most."""


@dataclass(frozen=True)
class LabelMap:
    """An integer label for each voxel, 0 for the background.

    Attributes:
        labels: shape (x, y, z), int16, not negative; may be memory-mapped.
        spacing_mm: voxel size along each axis in mm; None if unknown.
    """

    labels: NDArray[np.int16]
    spacing_mm: tuple[float, ...] | None = None

    @cached_property
    def voxel_counts(self) -> NDArray[np.intp]:
        """Number of voxels of each label, from 0 to the largest one."""
        counts = np.zeros(int(self.labels.max()) + 1, dtype=np.intp)
        for plane in self.labels:  # not at once, since the labels are converted to 64 bits
            counts += np.bincount(plane.ravel(), minlength=counts.size)
        return counts

    @property
    def label_count(self) -> int:
        """The largest label plus 1."""
        return len(self.voxel_counts)

    @cached_property
    def is_brain(self) -> NDArray[np.bool_]:
        """Whether each label, from 0 to the largest one, is a structure of the brain; fluid around it is not."""
        return is_brain(self.label_count, with_fluid_around=False)

    def slices_with_brain(self, axis: int) -> list[int]:
        """Return the indices of slices across an axis that contain brain; all of them if the map has no brain."""
        planes = (np.count_nonzero(self.is_brain[plane]) for plane in np.moveaxis(self.labels, axis, 0))
        counts = np.fromiter(planes, dtype=np.intp)
        return np.flatnonzero(counts >= MIN_BRAIN * counts.max()).tolist()

    @cached_property
    def sample(self) -> NDArray[np.intp]:
        """Labels of `SAMPLE` voxels in ascending order, in which each label is as frequent as in the whole map."""
        ends = np.cumsum(self.voxel_counts)
        places = (np.arange(SAMPLE) + 0.5) * ends[-1] / SAMPLE
        return np.searchsorted(ends, places, side="right")
