"""Pairs of low- and high-resolution patches, degraded afresh each time they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce

import numpy as np
from numpy.typing import NDArray

from pipeline.config.recipe import Recipe
from pipeline.image.slices import filled_slices
from pipeline.physics.between import weights_between
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import Cut, Terms, cuts, pad_to_multiple
from pipeline.physics.linear import Lattice, compose, without_axis
from pipeline.physics.parameters import PhysicalParameters
from pipeline.physics.shading import draw_field
from pipeline.training.contrast import draw_curve

PatchTerms = tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
"""The linear part of a forward model for patches: terms of a matrix along rows and one along columns."""

ReadSlices = Callable[[Sequence[int]], NDArray[np.float32]]
"""Returns slices of a truth, padded, shape (slice, rows, columns), by their indices."""

SLAB = 32
"""Slices of a truth that are in memory at a time, where a measured slice mixes many."""
SHARED = 2
"""Dimensions of a matrix that all patches of a batch share."""


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
        """The axes of a patch's rows and columns; where there are two ways to cut, those of the first."""
        cut = cuts(self.model.factors, self.slice_axis)[0]
        return cut.rows, cut.columns

    @cached_property
    def places(self) -> list[tuple[Cut, int]]:
        """All slices that patches may be cut from: how the volume is cut, and the slice's index."""
        return [
            (cut, index)
            for cut in cuts(self.model.factors, self.slice_axis)
            for index in (self.slices if cut.normal == self.slice_axis else filled_slices(self.mask, cut.normal))
        ]


@dataclass(frozen=True)
class Patches:
    """A batch of patches.

    Attributes:
        measured: low-resolution patches with noise, shape (batch, 1, p, p) with p = patch_lr, float32. Where the axis
            across the slices was coarsened as well, they are interpolated along it, noise included.
        truth: shape (batch, 1, s p, t p) with the factors s and t of rows and columns, float32.
        sigma: standard deviation of the noise of each patch, before any interpolation, shape (batch,), float32.
        operator: the linear part of the forward model for a patch: terms of two matrices, shape (p, s p) and (p, t p)
            where all patches share them, else (batch, 1, p, s p) and (batch, 1, p, t p), float32.
    """

    measured: NDArray[np.float32]
    truth: NDArray[np.float32]
    sigma: NDArray[np.float32]
    operator: PatchTerms

    def part(self, chosen: slice) -> Patches:
        """Returns some of the patches."""
        operator = tuple(tuple(one if one.ndim == SHARED else one[chosen] for one in pair) for pair in self.operator)
        return Patches(self.measured[chosen], self.truth[chosen], self.sigma[chosen], operator)  # pyright: ignore[reportArgumentType]


class PatchSampler:
    """Draws batches. What it draws at a step depends on the seed and the step alone, so that it has no state to save.

    Args:
        volumes: where patches come from; each slice with foreground is equally likely.
        recipe: the recipe of the training.
        seed: of the run.

    Raises:
        UserError: a volume was coarsened by different factors along its axes.
    """

    def __init__(self, volumes: list[TrainingVolume], recipe: Recipe, seed: int) -> None:
        self._places = [(volume, *place) for volume in volumes for place in volume.places]
        self._recipe = recipe
        self._seed = seed

    def batch(self, step: int, part: slice = slice(None)) -> Patches:
        """Returns the batch of a step, or the part of it that one of several devices takes."""
        indices = range(self._recipe.batch_size)[part]
        drawn = [self._draw(np.random.default_rng([self._seed, step, index])) for index in indices]
        measured, truth, sigma, operators = zip(*drawn, strict=True)
        levels = np.array(sigma, dtype=np.float32)
        return Patches(np.stack(measured)[:, None], np.stack(truth)[:, None], levels, stacked(operators))

    def _draw(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], float, PatchTerms]:
        volume, cut, index = self._places[generator.integers(len(self._places))]
        model = volume.model.redrawn(generator)
        factors = (model.factors[cut.rows], model.factors[cut.columns])
        mask = pad_to_multiple(_slab(volume.mask, cut, [index])[0], factors)
        change = draw_curve(generator) if generator.random() < self._recipe.contrast_augmentation else np.asarray
        strength = self._recipe.shading_augmentation
        field = draw_field(mask.shape, strength, generator) if strength else np.float32(1)

        def read(indices: Sequence[int]) -> NDArray[np.float32]:
            return change(pad_to_multiple(_slab(volume.data, cut, indices), (1, *factors))) * field

        layers, weights = _layers(model, cut.normal, index)
        coarse = _coarsened(model.terms, cut, layers, read)
        coarse, truth = _crop(coarse, read([index])[0], mask, self._recipe.patch_lr, factors, generator)
        operator = patch_operator(
            model.operators, model.factors, model.spacing_mm, model.slice_axis, cut, self._recipe.patch_lr
        )
        coarse, truth = _turn(coarse, truth, generator, transpose=_is_symmetric(operator))
        sigma = self._sigma(model, generator)
        noisy = _with_noise(model, coarse, cut, generator, sigma)
        return np.tensordot(weights, noisy, axes=1), truth, sigma, operator

    def _sigma(self, model: ForwardModel, generator: np.random.Generator) -> float:
        noise_range = self._recipe.noise_sigma_range
        return model.noise_sigma if noise_range is None else float(generator.uniform(*noise_range))


@lru_cache(maxsize=64)
def patch_operator(
    operators: tuple[PhysicalParameters, ...],
    factors: tuple[int, ...],
    spacing_mm: tuple[float, ...] | None,
    slice_axis: int,
    cut: Cut,
    side: int,
) -> PatchTerms:
    """Returns the linear part of a forward model for an image that is one patch.

    Args:
        operators: steps of the forward model of a whole volume, without ranges.
        factors: of that model.
        spacing_mm: of that model.
        slice_axis: of that model.
        cut: how the patch lies in the volume.
        side: of the patch, in low-resolution voxels.

    Returns:
        Terms of two matrices along rows and columns, float32, shape (side, factor side).
    """
    sizes = tuple(factor if axis == cut.normal else side * factor for axis, factor in enumerate(factors))
    terms = without_axis(compose(operators, Lattice(sizes, factors, spacing_mm, slice_axis)), cut.normal)
    pairs = [(matrices[cut.rows], matrices[cut.columns]) for matrices in terms]
    return tuple((_matrix(rows, side), _matrix(columns, side)) for rows, columns in pairs)


def _matrix(matrix: NDArray[np.float64] | None, side: int) -> NDArray[np.float32]:
    return np.eye(side, dtype=np.float32) if matrix is None else matrix.astype(np.float32)


def stacked(operators: Sequence[PatchTerms]) -> PatchTerms:
    """Joins the operators of the patches of a batch: one for all where they share it, else a stack of them."""
    first = operators[0]
    if all(operator is first for operator in operators):
        return first
    count = max(map(len, operators))
    # A term of zeros adds nothing: so all have the same number of terms.
    filled = [[*operator, *[_zeros_like(operator[0])] * (count - len(operator))] for operator in operators]
    return tuple(
        (np.stack([one[term][0] for one in filled])[:, None], np.stack([one[term][1] for one in filled])[:, None])
        for term in range(count)
    )


def _zeros_like(pair: tuple[NDArray[np.float32], NDArray[np.float32]]) -> tuple[NDArray, NDArray]:
    return np.zeros_like(pair[0]), np.zeros_like(pair[1])


def _is_symmetric(operator: PatchTerms) -> bool:
    """Says whether rows and columns are treated alike, so that a transposed patch is as likely as the patch itself."""
    # Terms of one sum may be exchanged for each other, which is not looked for: then there are flips alone.
    return all(rows.shape == columns.shape and np.allclose(rows, columns, atol=1e-6) for rows, columns in operator)


def _slab(array: NDArray, cut: Cut, indices: Sequence[int]) -> NDArray:
    """Returns some slices of a volume, shape (slice, rows, columns); neighbours are read in one piece.

    Beyond the last slice there are more of it, as padding has it.
    """
    inside = np.minimum(indices, array.shape[cut.normal] - 1)
    low, high = int(inside.min()), int(inside.max()) + 1
    whole = array[tuple(slice(low, high) if axis == cut.normal else slice(None) for axis in range(3))]
    return np.asarray(np.moveaxis(whole, cut, (0, 1, 2)))[inside - low]


def _layers(model: ForwardModel, normal: int, index: int) -> tuple[list[int], NDArray[np.float32]]:
    """The low-resolution slices that make the slice at a place of the fine grid, and the weight of each."""
    weights = weights_between(model.lr_shape[normal], model.factors[normal])[index]
    layers = np.flatnonzero(weights)
    return layers.tolist(), weights[layers].astype(np.float32)


def _coarsened(terms: Terms, cut: Cut, layers: Sequence[int], read: ReadSlices) -> NDArray[np.float32]:
    """Returns some low-resolution slices without noise, shape (slice, rows, columns)."""
    result = 0.0
    for term in terms:
        across, rows, columns = (term[axis] for axis in cut)
        one = read(layers) if across is None else _mixed(across[layers], read)
        one = one if rows is None else rows @ one
        result = result + (one if columns is None else one @ columns.T)
    return np.asarray(result, dtype=np.float32)


def _mixed(across: NDArray[np.float64], read: ReadSlices) -> NDArray[np.float64]:
    """Returns weighted sums of slices, one for each row of weights; not all slices are in memory at once."""
    needed = np.flatnonzero(across.any(axis=0))
    slabs = (needed[start : start + SLAB] for start in range(0, needed.size, SLAB))
    return reduce(np.add, (np.tensordot(across[:, slab], read(slab.tolist()), axes=1) for slab in slabs))


def _with_noise(
    model: ForwardModel, layers: NDArray[np.float32], cut: Cut, generator: np.random.Generator, sigma: float
) -> NDArray[np.float32]:
    """Adds noise to slices of shape (slice, rows, columns), which lie in a volume as `cut` says."""
    if len(layers) == 1:
        return model.add_noise(layers[0], generator, sigma)[None]
    noisy = model.add_noise(np.moveaxis(layers, (0, 1, 2), cut), generator, sigma)
    return np.moveaxis(noisy, cut, (0, 1, 2))


def _crop(
    coarse: NDArray[np.float32],
    fine: NDArray[np.float32],
    mask: NDArray[np.bool_],
    side: int,
    factors: tuple[int, int],
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cuts a patch of `side` coarse voxels whose centre lies in the foreground, as far as the image's edge allows.

    `coarse` has shape (slice, rows, columns), `fine` and `mask` are one slice.
    """
    rows, columns = np.nonzero(mask)
    chosen = generator.integers(rows.size)
    centre = (rows[chosen] // factors[0], columns[chosen] // factors[1])
    missing = [max(0, side - size) for size in coarse.shape[1:]]
    if any(missing):
        coarse = np.pad(coarse, [(0, 0), *((0, count) for count in missing)])
        fine = np.pad(fine, [(0, count * factor) for count, factor in zip(missing, factors, strict=True)])
    starts = [int(np.clip(c - side // 2, 0, size - side)) for c, size in zip(centre, coarse.shape[1:], strict=True)]
    coarse_part = tuple(slice(start, start + side) for start in starts)
    fine_part = tuple(slice(s * f, (s + side) * f) for s, f in zip(starts, factors, strict=True))
    return coarse[:, *coarse_part], fine[fine_part]


def _turn(
    coarse: NDArray[np.float32], fine: NDArray[np.float32], generator: np.random.Generator, transpose: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Applies one of the four flips to both, and a transpose to every second pair where it is allowed."""
    flip_rows, flip_columns, exchange = generator.integers(2, size=3)
    steps = (slice(None, None, -1 if flip_rows else 1), slice(None, None, -1 if flip_columns else 1))
    pair = coarse[..., *steps], fine[steps]
    return (pair[0].swapaxes(-2, -1), pair[1].T) if exchange and transpose else pair
