"""Intensities of a stored reference, with the contrast and shading of a single draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.config.recipe import Recipe
from pipeline.image.intensity_limits import limited
from pipeline.physics.grid import Cut
from pipeline.physics.shading import draw_field
from pipeline.training.augmentation.contrast import Curve, draw_curve
from pipeline.training.slabs import Window, read_slab


@dataclass(frozen=True)
class StoredImage:
    """A reference as it is stored, with augmented intensities.

    Attributes:
        data: normalised intensities, shape (x, y, z), memory-mapped.
        cut: orientation of the slices in the volume.
        factors: high-resolution voxels per low-resolution voxel along rows and columns.
        curve: change of contrast; None for none.
        field: multiplicative bias field of a padded slice, shape (rows, columns); None for none.
    """

    data: NDArray[np.float32]
    cut: Cut
    factors: tuple[int, int]
    curve: Curve | None
    field: NDArray[np.float32] | None

    def read(self, indices: Sequence[int], window: Window) -> NDArray[np.float32]:
        """Return a region of slices; see `pipeline.training.slabs.ReadSlices`."""
        part = limited(read_slab(self.data, self.cut, indices, self.factors, window)).values
        part = part if self.curve is None else self.curve(part)
        return part if self.field is None else part * self.field[window]


def draw_stored_image(
    data: NDArray[np.float32],
    cut: Cut,
    factors: tuple[int, int],
    shape: tuple[int, int],
    recipe: Recipe,
    generator: np.random.Generator,
) -> StoredImage:
    """Draw the contrast and the shading of a reference, with the probability and strength of a recipe.

    Args:
        data: normalised intensities, shape (x, y, z), memory-mapped.
        cut: orientation of the slices in the volume.
        factors: high-resolution voxels per low-resolution voxel along rows and columns.
        shape: rows and columns of a padded slice.
        recipe: the recipe of the training.
        generator: source of the random numbers.
    """
    curve = draw_curve(generator) if generator.random() < recipe.contrast_augmentation else None
    strength = recipe.shading_augmentation
    return StoredImage(data, cut, factors, curve, draw_field(shape, strength, generator) if strength else None)
