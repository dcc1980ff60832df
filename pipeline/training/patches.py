"""Pairs of low- and high-resolution patches, degraded afresh each time they are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.config.recipe import Recipe
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


@dataclass(frozen=True)
class Patches:
    """A batch of patches.

    Attributes:
        measured: low-resolution patches with noise, shape (batch, 1, p, p) with p = patch_lr, float32.
        truth: shape (batch, 1, s p, s p), float32.
        sigma: standard deviation of the noise of each patch, shape (batch,), float32.
    """

    measured: NDArray[np.float32]
    truth: NDArray[np.float32]
    sigma: NDArray[np.float32]


class PatchSampler:
    """Draws batches. What it draws at a step depends on the seed and the step alone, so that it has no state to save.

    Args:
        volumes: where patches come from; each slice with foreground is equally likely.
        recipe: the recipe of the training.
        seed: of the run.
    """

    def __init__(self, volumes: list[TrainingVolume], recipe: Recipe, seed: int) -> None:
        self._places = [(volume, index) for volume in volumes for index in volume.slices]
        self._recipe = recipe
        self._seed = seed

    @cached_property
    def operator(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The forward model's operator for one patch, along both axes: matrices (p, s p)."""
        volume = self._places[0][0]
        build = plugins.load("pipeline.physics.operators", volume.model.operator).axis_matrix
        factors = [volume.model.factors[axis] for axis in volume.plane_axes]
        rows, columns = (build(self._recipe.patch_lr * factor, factor).astype(np.float32) for factor in factors)
        return rows, columns

    def batch(self, step: int, part: slice = slice(None)) -> Patches:
        """Returns the batch of a step, or the part of it that one of several devices takes."""
        indices = range(self._recipe.batch_size)[part]
        drawn = [self._draw(np.random.default_rng([self._seed, step, index])) for index in indices]
        measured, truth, sigma = zip(*drawn, strict=True)
        return Patches(np.stack(measured)[:, None], np.stack(truth)[:, None], np.array(sigma, dtype=np.float32))

    def _draw(self, generator: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        volume, index = self._places[generator.integers(len(self._places))]
        factors = [volume.model.factors[axis] for axis in volume.plane_axes]
        matrices = [volume.model.axis_matrices[axis] for axis in volume.plane_axes]
        fine = pad_to_multiple(volume.slice_of(volume.data, index), factors)
        mask = pad_to_multiple(volume.slice_of(volume.mask, index), factors)
        if generator.random() < self._recipe.contrast_augmentation:
            fine = change_contrast(fine, generator)
        coarse = apply_along_axes(matrices, fine).astype(np.float32)
        coarse, fine = _crop(coarse, fine, mask, self._recipe.patch_lr, factors, generator)
        sigma = self._sigma(volume.model, generator)
        return *_turn(volume.model.add_noise(coarse, generator, sigma), fine, generator), sigma

    def _sigma(self, model: ForwardModel, generator: np.random.Generator) -> float:
        noise_range = self._recipe.noise_sigma_range
        return model.noise_sigma if noise_range is None else float(generator.uniform(*noise_range))


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
