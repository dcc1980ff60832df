"""Small structures that are added to a reference before its degradation, so that networks learn to preserve them.

Lesions and vessels of a few voxels are rare in training data, and a network that never saw them smooths them away.
Shapes, sizes and contrasts are not those of the lesion-insertion study (`pipeline.fidelity.insertion`), which would
otherwise measure what was trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.training.augmentation.shapes import Coverage, draw_blob, draw_line, draw_ring
from pipeline.training.slabs import ReadSlices, Window

SHAPES = (draw_blob, draw_line, draw_ring)
MAX_COUNT = 6
"""Maximum number of structures in a patch."""
BRIGHTER = (0.05, 0.5)
"""Range of the contrast of bright structures, as a fraction of the normalised range."""
DARKER = (0.1, 0.9)
"""Range of the fraction of the intensity that dark structures remove."""
DEPTH = (1.0, 8.0)
"""Range of the extent across the slices, in voxels."""


@dataclass(frozen=True)
class Structure:
    """A structure in a volume.

    Attributes:
        corner: row and column of the first voxel of `coverage`.
        coverage: fraction of each voxel covered by its outline in the plane, shape (rows, columns).
        middle: position of its centre across the slices, in slices.
        depth: extent across the slices, in slices, at least 1.
        contrast: intensity that is added, if positive; if negative, the fraction of the intensity that is removed.
    """

    corner: tuple[int, int]
    coverage: Coverage
    middle: float
    depth: float
    contrast: float

    def add_to(self, part: NDArray[np.float32], indices: Sequence[int], origin: tuple[int, int]) -> None:
        """Add the structure to a region of slices in place.

        Args:
            part: intensities, shape (slices, rows, columns).
            indices: of the slices.
            origin: row and column of the first voxel of the region.
        """
        starts = [corner - first for corner, first in zip(self.corner, origin, strict=True)]
        inside = tuple(
            slice(max(start, 0), max(start + size, 0)) for start, size in zip(starts, self.coverage.shape, strict=True)
        )
        region = part[:, inside[0], inside[1]]
        skipped = [max(-start, 0) for start in starts]
        plane = self.coverage[skipped[0] :, skipped[1] :][: region.shape[1], : region.shape[2]]
        if not region.size or not plane.size:
            return
        distances = np.abs(np.asarray(indices) - self.middle)
        across = np.clip((self.depth + 1) / 2 - distances, 0, 1).astype(np.float32)
        covered = np.float32(abs(self.contrast)) * across[:, None, None] * plane
        if self.contrast > 0:
            region += covered
        else:
            region *= 1 - covered


def draw_structures(
    mask: NDArray[np.bool_], window: Window, index: int, generator: np.random.Generator
) -> tuple[Structure, ...]:
    """Draw structures in the foreground of a slice.

    Args:
        mask: foreground of the padded slice, shape (rows, columns).
        window: rows and columns in which their centres lie; at least one voxel of it is foreground.
        index: of the slice, which all structures touch.
        generator: source of the random numbers.
    """
    foreground = np.argwhere(mask[window]) + [one.start for one in window]
    return tuple(
        _draw_structure(mask, foreground[generator.integers(len(foreground))], index, generator)
        for _ in range(generator.integers(1, MAX_COUNT, endpoint=True))
    )


def _draw_structure(
    mask: NDArray[np.bool_], centre: NDArray[np.intp], index: int, generator: np.random.Generator
) -> Structure:
    coverage = SHAPES[generator.integers(len(SHAPES))](generator)
    half = len(coverage) // 2
    low = np.maximum(centre - half, 0)
    high = np.minimum(centre + half + 1, mask.shape)
    plane = tuple(slice(*one) for one in zip(low, high, strict=True))
    own = tuple(slice(*one) for one in zip(low - centre + half, high - centre + half, strict=True))
    inside = coverage[own] * mask[plane]
    depth = generator.uniform(*DEPTH)
    middle = index + generator.uniform(-0.5, 0.5) * (depth - 1)
    contrast = generator.uniform(*BRIGHTER) if generator.integers(2) else -generator.uniform(*DARKER)
    return Structure((int(low[0]), int(low[1])), inside, middle, depth, float(contrast))


def with_structures(read: ReadSlices, structures: Sequence[Structure], shape: tuple[int, int]) -> ReadSlices:
    """Return a reader of the same reference with structures; all of its slices see the same ones.

    Args:
        read: returns slices of the reference.
        structures: drawn in the coordinates of its slices.
        shape: rows and columns of a padded slice.
    """

    def read_with_structures(indices: Sequence[int], window: Window) -> NDArray[np.float32]:
        part = np.array(read(indices, window), dtype=np.float32)
        origin = window[0].indices(shape[0])[0], window[1].indices(shape[1])[0]
        for structure in structures:
            structure.add_to(part, indices, origin)
        return part

    return read_with_structures
