"""Pairs of low- and high-resolution patches, degraded afresh each time they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.config.stages import Train
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import apply_along_axes, pad_to_multiple
from pipeline.training.contrast import change_contrast


@dataclass(frozen=True)
class TrainingVolume:
    """A truth to draw patches from.

    Attributes:
        data: normalised intensities, shape (x, y, z), memory-mapped.
        mask: foreground, same shape, memory-mapped.
        slice_axis: axis along which the slices follow each other.
        slices: indices of the slices with enough foreground.
        model: the forward model whose operator and noise the patches get.
    """

    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    slice_axis: int
    slices: tuple[int, ...]
    model: ForwardModel

    @property
    def plane_axes(self) -> tuple[int, int]:
        """The two axes within a slice."""
        first, second = (axis for axis in range(3) if axis != self.slice_axis)
        return first, second

    def slice_of(self, array: NDArray, index: int) -> NDArray:
        """Returns one slice of an array of this volume's shape."""
        return np.asarray(np.take(array, index, axis=self.slice_axis))


class PatchSampler:
    """Draws batches. What it draws at a step depends on the seed and the step alone, so that it has no state to save.

    Args:
        volumes: where patches come from; each slice with foreground is equally likely.
        settings: the section `train`.
        seed: of the run.
    """

    def __init__(self, volumes: list[TrainingVolume], settings: Train, seed: int) -> None:
        self._places = [(volume, index) for volume in volumes for index in volume.slices]
        self._settings = settings
        self._seed = seed

    def batch(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns the batch of a step.

        Returns:
            Low-resolution patches (batch, 1, p, p) and the truth (batch, 1, s p, s p), float32, p = patch_lr.
        """
        generator = np.random.default_rng([self._seed, step])
        pairs = [self._pair(generator) for _ in range(self._settings.batch_size)]
        coarse, fine = (np.stack(patches)[:, None] for patches in zip(*pairs, strict=True))
        return coarse, fine

    def _pair(self, generator: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        volume, index = self._places[generator.integers(len(self._places))]
        factors = [volume.model.factors[axis] for axis in volume.plane_axes]
        matrices = [volume.model.axis_matrices[axis] for axis in volume.plane_axes]
        fine = pad_to_multiple(volume.slice_of(volume.data, index), factors)
        mask = pad_to_multiple(volume.slice_of(volume.mask, index), factors)
        if generator.random() < self._settings.contrast_augmentation:
            fine = change_contrast(fine, generator)
        coarse = apply_along_axes(matrices, fine).astype(np.float32)
        coarse, fine = _crop(coarse, fine, mask, self._settings.patch_lr, factors, generator)
        return _turn(volume.model.add_noise(coarse, generator), fine, generator)


def _crop(
    coarse: NDArray[np.float32],
    fine: NDArray[np.float32],
    mask: NDArray[np.bool_],
    side: int,
    factors: list[int],
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cuts a patch of `side` coarse voxels whose centre lies in the foreground, as far as the image's edge allows."""
    rows, columns = np.nonzero(mask)
    chosen = generator.integers(rows.size)
    centre = (rows[chosen] // factors[0], columns[chosen] // factors[1])
    missing = [max(0, side - size) for size in coarse.shape]
    if any(missing):
        coarse = np.pad(coarse, [(0, count) for count in missing])
        fine = np.pad(fine, [(0, count * factor) for count, factor in zip(missing, factors, strict=True)])
    starts = [int(np.clip(c - side // 2, 0, size - side)) for c, size in zip(centre, coarse.shape, strict=True)]
    coarse_part = tuple(slice(start, start + side) for start in starts)
    fine_part = tuple(slice(s * f, (s + side) * f) for s, f in zip(starts, factors, strict=True))
    return coarse[coarse_part], fine[fine_part]


def _turn(
    coarse: NDArray[np.float32], fine: NDArray[np.float32], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Applies one of the eight flips and transposes to both."""
    flip_rows, flip_columns, transpose = generator.integers(2, size=3)
    steps = (slice(None, None, -1 if flip_rows else 1), slice(None, None, -1 if flip_columns else 1))
    pair = coarse[steps], fine[steps]
    return (pair[0].T, pair[1].T) if transpose else pair
