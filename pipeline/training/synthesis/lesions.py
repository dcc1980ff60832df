"""Random lesions in the white matter of label maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.training.synthesis.structures import WHITE_MATTER

PROBABILITY = 0.3
DENSITY_RANGE = (2e-5, 3e-4)
"""Range of the number of attempts per voxel to place a lesion; those outside of the white matter are dropped."""
RADIUS_RANGE = (1.0, 6.0)
"""Range of the radius in voxels, drawn uniformly on a logarithmic scale."""
STRETCH_RANGE = (0.6, 1.4)
"""Range of the ratio of each semi-axis to the radius."""

Box = tuple[slice, slice, slice]
"""Slices, rows and columns of a part of a label map."""


@dataclass(frozen=True)
class Lesions:
    """Ellipsoids in the white matter.

    Attributes:
        centres: slice, row and column of each, shape (lesions, 3).
        semi_axes: along slices, rows and columns, in voxels, same shape.
    """

    centres: NDArray[np.float64]
    semi_axes: NDArray[np.float64]

    def mark(self, labels: NDArray[np.int16], box: Box, label: int) -> None:
        """Replace the white matter inside the lesions by a label, in place.

        Args:
            labels: part of a label map, shape (slices, rows, columns).
            box: where it lies in the label map.
            label: of lesions.
        """
        origin = np.array([part.start for part in box])
        for centre, semi_axes in zip(self.centres - origin, self.semi_axes, strict=True):
            low = np.clip(np.floor(centre - semi_axes), 0, labels.shape).astype(int)
            high = np.clip(np.ceil(centre + semi_axes) + 1, 0, labels.shape).astype(int)
            part = labels[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
            if part.size:
                offsets = np.ogrid[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
                squares = [((o - c) / a) ** 2 for o, c, a in zip(offsets, centre, semi_axes, strict=True)]
                inside = squares[0] + squares[1] + squares[2] <= 1
                part[inside & np.isin(part, WHITE_MATTER)] = label


def draw_lesions(labels: NDArray[np.int16], box: Box, generator: np.random.Generator) -> Lesions:
    """Draw lesions with centres in the white matter of a part of a label map; often there are none.

    Args:
        labels: the whole label map, shape (slices, rows, columns).
        box: the part.
        generator: source of the random numbers.
    """
    ends = [part.indices(size) for part, size in zip(box, labels.shape, strict=True)]
    low, high = np.array([one[0] for one in ends]), np.array([one[1] for one in ends])
    density = np.exp(generator.uniform(*np.log(DENSITY_RANGE)))
    wanted = generator.random() < PROBABILITY and bool(np.all(high > low))
    count = int(np.ceil(density * np.prod(high - low))) if wanted else 0
    centres = generator.integers(low, np.maximum(high, low + 1), (count, 3))
    centres = centres[np.isin(labels[tuple(centres.T)], WHITE_MATTER)]
    low_radius, high_radius = np.log(RADIUS_RANGE)
    radii = np.exp(generator.uniform(low_radius, high_radius, (len(centres), 1)))
    return Lesions(centres.astype(np.float64), radii * generator.uniform(*STRETCH_RANGE, (len(centres), 3)))
