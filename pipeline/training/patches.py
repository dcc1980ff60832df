"""Sampling of pairs of low- and high-resolution patches, which are degraded anew for every draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.config.parameters import PhysicalParameters
from pipeline.config.recipe import Recipe
from pipeline.image.slices import filled_slices
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import Cut, Terms, cuts
from pipeline.physics.interpolation import slice_weights
from pipeline.physics.linear import Lattice, compose, without_axis
from pipeline.physics.slice_sampling import SliceSampling
from pipeline.training.augmentation.background import covered_voxels, has_empty_background
from pipeline.training.augmentation.neighbours import draw_neighbours
from pipeline.training.augmentation.resampling import check_resampling, draw_resampling
from pipeline.training.augmentation.structures import draw_structures, with_structures
from pipeline.training.degradations import ForwardModels
from pipeline.training.slabs import ReadSlices, Window, read_slab
from pipeline.training.stored_image import draw_stored_image
from pipeline.training.synthesis.image import draw_patch_image
from pipeline.training.synthesis.label_map import LabelMap

PatchTerms = tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
"""The linear part of a forward model for patches: a sum of terms, each a matrix along rows and one along columns."""

SLAB = 32
"""Maximum number of slices of a reference in memory, for low-resolution slices that average over many."""
SHARED_NDIM = 2
"""Number of dimensions of a matrix that all patches of a batch share."""


@dataclass(frozen=True)
class TrainingVolume:
    """A reference from which patches are drawn.

    Attributes:
        data: normalised intensities, shape (x, y, z), memory-mapped.
        mask: foreground, same shape, memory-mapped.
        slice_axis: axis across the slices.
        slices: indices of the slices with enough foreground.
        model: the forward model whose operator and noise are applied to the patches.
        label_map: labels from which a new image is drawn for every patch; None draws patches of `data`.
    """

    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    slice_axis: int
    slices: tuple[int, ...]
    model: ForwardModel
    label_map: LabelMap | None = None

    @property
    def plane_axes(self) -> tuple[int, int]:
        """Axes of the rows and columns of a patch; where the volume has two cuts, those of the first."""
        cut = cuts(self.model.factors, self.slice_axis)[0]
        return cut.rows, cut.columns

    @cached_property
    def places(self) -> list[tuple[Cut, int]]:
        """All slices from which patches may be drawn: how the volume is cut, and the index of the slice."""
        return [
            (cut, index) for cut in cuts(self.model.factors, self.slice_axis) for index in self.slices_along(cut.normal)
        ]

    def slices_along(self, axis: int) -> Sequence[int]:
        """Return the slices across an axis from which patches are drawn; of label maps, those with brain."""
        if self.label_map is not None:
            return self.label_map.slices_with_brain(axis)
        return self.slices if axis == self.slice_axis else filled_slices(self.mask, axis)


@dataclass(frozen=True)
class Patches:
    """A batch of patches.

    Attributes:
        measured: low-resolution patches with noise, shape (batch, d, p, p) with p = patch_lr and d = 2 neighbours + 1,
            float32: the slice of the reference between its neighbours. If the axis across the slices is degraded as
            well, they are interpolated along it, including the noise.
        reference: shape (batch, 1, s p, t p) with the factors s and t of rows and columns, float32.
        sigma: standard deviation of the noise of each patch, before any interpolation, shape (batch,), float32.
        operator: the linear part of the forward model for a patch: terms of two matrices, shape (p, s p) and (p, t p)
            if all patches share them, else (batch, 1, p, s p) and (batch, 1, p, t p), float32.
        slices: spacing and thickness of the slices in voxels of the reference, for networks of any ratio, shape
            (batch, 2), float32; else None.
    """

    measured: NDArray[np.float32]
    reference: NDArray[np.float32]
    sigma: NDArray[np.float32]
    operator: PatchTerms
    slices: NDArray[np.float32] | None = None

    def part(self, chosen: slice) -> Patches:
        """Return some of the patches."""
        operator = tuple(
            tuple(one if one.ndim == SHARED_NDIM else one[chosen] for one in pair) for pair in self.operator
        )
        slices = None if self.slices is None else self.slices[chosen]
        return Patches(self.measured[chosen], self.reference[chosen], self.sigma[chosen], operator, slices)  # pyright: ignore[reportArgumentType]


class Patch(NamedTuple):
    """A single patch; the attributes are those of `Patches`, without the axis batch, and the reference (s p, t p)."""

    measured: NDArray[np.float32]
    reference: NDArray[np.float32]
    sigma: float
    operator: PatchTerms
    slices: SliceSampling | None = None


class _Reference(NamedTuple):
    """Reference of a patch.

    Attributes:
        read: returns slices.
        mask: foreground of the padded slice, shape (rows, columns).
        model: forward model.
        place: rows and columns of the patch, in low-resolution voxels.
    """

    read: ReadSlices
    mask: NDArray[np.bool_]
    model: ForwardModel
    place: Window


class PatchSampler:
    """Random batches of patches. They depend on the seed and the step alone, so that there is no state to save.

    Args:
        volumes: references from which patches are drawn. Each slice of the images is equally likely, and so is each
            slice of the label maps; the recipe sets the share of these.
        recipe: the recipe of the training.
        seed: of the run.

    Raises:
        UserError: the degradations or the resampling of the recipe do not suit the volumes.
    """

    def __init__(self, volumes: list[TrainingVolume], recipe: Recipe, seed: int) -> None:
        self._recipe = recipe
        self._seed = seed
        places = [(volume, *place) for volume in volumes for place in self._places(volume)]
        self._acquired = [place for place in places if place[0].label_map is None]
        self._synthetic = [place for place in places if place[0].label_map is not None]
        if recipe.resampling_augmentation:
            check_resampling(volume.model for volume in volumes)
        self._models = ForwardModels((volume.model for volume in volumes), recipe.degradations)

    def batch(self, step: int, part: slice = slice(None)) -> Patches:
        """Return the batch of a step, or the part of it that is assigned to one of several devices."""
        indices = range(self._recipe.batch_size)[part]
        drawn = [self._draw(np.random.default_rng([self._seed, step, index])) for index in indices]
        slices = [one.slices for one in drawn if one.slices is not None]
        return Patches(
            np.stack([one.measured for one in drawn]),
            np.stack([one.reference for one in drawn])[:, None],
            np.array([one.sigma for one in drawn], dtype=np.float32),
            stacked([one.operator for one in drawn]),
            np.array(slices, dtype=np.float32) if slices else None,
        )

    def _places(self, volume: TrainingVolume) -> Sequence[tuple[Cut, int]]:
        """Return all slices of a volume from which patches may be drawn."""
        return volume.places

    def _draw(self, generator: np.random.Generator) -> Patch:
        volume, cut, index = self._draw_slice(generator)
        model = self._models.draw(volume.model, generator)
        factors = (model.whole_factors[cut.rows], model.whole_factors[cut.columns])
        draw_reference = self._draw_stored if volume.label_map is None else self._draw_synthetic
        read, mask, model, place = draw_reference(volume, model, cut, index, factors, generator)
        fine = _fine_window(place, factors)
        given = draw_neighbours(index, self._recipe.neighbours, volume.data.shape[cut.normal], generator)
        layers, weights = _layers(model, cut.normal, given)
        if self._happens(self._recipe.structure_augmentation, generator) and mask[fine].any():
            read = with_structures(read, draw_structures(mask, fine, index, generator), mask.shape)
        coarse, reference = measured_pair(model.terms, cut, layers, index, read, place, fine)
        is_stripped = self._happens(self._recipe.background_augmentation, generator) and has_empty_background(
            reference, mask[fine]
        )
        if is_stripped:  # flipped with the slices
            coarse = np.concatenate([coarse, covered_voxels(read(given, fine), factors).astype(np.float32)])
        coarse, reference = _padded(coarse, reference, self._recipe.patch_lr, factors)
        operator = patch_operator(
            model.operators, model.whole_factors, model.spacing_mm, model.slice_axis, cut, self._recipe.patch_lr
        )
        coarse, reference = _augmented(coarse, reference, generator, transpose=_is_symmetric(operator))
        sigma = self._draw_noise_level(model, generator)
        noisy = with_noise(model, coarse[: len(layers)], cut, generator, sigma)
        measured = np.tensordot(weights, noisy, axes=1)
        measured = np.where(coarse[len(layers) :], measured, np.float32(0)) if is_stripped else measured
        return Patch(measured, reference, sigma, operator)

    def _draw_slice(self, generator: np.random.Generator) -> tuple[TrainingVolume, Cut, int]:
        """Draw the volume, the orientation and the index of a slice."""
        if self._acquired and self._synthetic:
            is_synthetic = generator.random() < self._recipe.synthetic_share
            places = self._synthetic if is_synthetic else self._acquired
        else:
            places = self._acquired or self._synthetic
        return places[generator.integers(len(places))]

    def _draw_stored(
        self,
        volume: TrainingVolume,
        model: ForwardModel,
        cut: Cut,
        index: int,
        factors: tuple[int, int],
        generator: np.random.Generator,
    ) -> _Reference:
        """Draw the augmentation of a stored image, and a patch of it."""
        mask = read_slab(volume.mask, cut, [index], factors)[0]
        read = draw_stored_image(volume.data, cut, factors, mask.shape, self._recipe, generator).read
        if self._happens(self._recipe.resampling_augmentation, generator):
            grid = draw_resampling(model, cut, mask.shape, generator)
            read, mask, model = grid.reader(read), grid.mask(mask), grid.model(model, cut)
        return _Reference(read, mask, model, _draw_place(mask, self._recipe.patch_lr, factors, generator))

    def _draw_synthetic(
        self,
        volume: TrainingVolume,
        model: ForwardModel,
        cut: Cut,
        index: int,
        factors: tuple[int, int],
        generator: np.random.Generator,
    ) -> _Reference:
        """Draw a patch around a voxel of the brain, if the slice has any, and an image around the patch."""
        assert volume.label_map is not None
        brain = volume.label_map.is_brain[read_slab(volume.label_map.labels, cut, [index], factors)[0]]
        mask = brain if brain.any() else read_slab(volume.mask, cut, [index], factors)[0]
        place = _draw_place(mask, self._recipe.patch_lr, factors, generator)
        image = draw_patch_image(volume.label_map, cut, index, _fine_window(place, factors), mask.shape, generator)
        return _Reference(image.read, image.foreground(index), model, place)

    @staticmethod
    def _happens(probability: float, generator: np.random.Generator) -> bool:
        """Draw whether an augmentation is applied; without it, no random number is used."""
        return probability > 0 and bool(generator.random() < probability)

    def _draw_noise_level(self, model: ForwardModel, generator: np.random.Generator) -> float:
        """Return the standard deviation of the noise of a patch, which the network is given."""
        if self._recipe.degradations and model.noise == "none":
            return 0.0
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
    """Return the linear part of a forward model for a single patch.

    Args:
        operators: steps of the forward model of a whole volume, without ranges.
        factors: of that model.
        spacing_mm: of that model.
        slice_axis: of that model.
        cut: orientation of the patch in the volume.
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
    """Stack the operators of the patches of a batch; an operator that all patches share is returned unchanged."""
    first = operators[0]
    if all(operator is first for operator in operators):
        return first
    count = max(map(len, operators))
    # Operators are padded with terms of zeros to the same number of terms.
    zeros = [tuple(map(np.zeros_like, operator[0])) for operator in operators]
    filled = [[*one, *[zero] * (count - len(one))] for one, zero in zip(operators, zeros, strict=True)]
    return tuple(
        (np.stack([one[term][0] for one in filled])[:, None], np.stack([one[term][1] for one in filled])[:, None])
        for term in range(count)
    )


def _is_symmetric(operator: PatchTerms) -> bool:
    """Return whether an operator treats rows and columns alike, so that patches may be transposed."""
    # Operators that are symmetric only after exchanging terms are not detected; their patches are flipped alone.
    return all(rows.shape == columns.shape and np.allclose(rows, columns, atol=1e-6) for rows, columns in operator)


def _layers(model: ForwardModel, normal: int, indices: Sequence[int]) -> tuple[list[int], NDArray[np.float32]]:
    """Return the low-resolution slices from which slices of the high-resolution grid are interpolated.

    Args:
        model: forward model of the volume.
        normal: axis across the slices.
        indices: of the high-resolution slices.

    Returns:
        Indices of the low-resolution slices, and their weights, shape (high-resolution slices, low-resolution slices).
    """
    weights = slice_weights(model.lr_shape[normal], model.whole_factors[normal])[indices]
    layers = np.flatnonzero(weights.any(axis=0))
    return layers.tolist(), weights[:, layers].astype(np.float32)


def measured_pair(
    terms: Terms,
    cut: Cut,
    layers: Sequence[int],
    index: int,
    read: ReadSlices,
    place: Window,
    fine: Window,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a region of low-resolution slices without noise, shape (slice, rows, columns), and of a reference slice.

    Only the voxels of the reference that contribute to the region are read.

    Args:
        terms: the linear part of the forward model of the whole volume.
        cut: orientation of the slices in the volume.
        layers: indices of the low-resolution slices.
        index: of the reference slice.
        read: returns slices of the reference.
        place: rows and columns of the region, in low-resolution voxels.
        fine: rows and columns of the reference, in high-resolution voxels.
    """
    planes = [(_rows_of(term[cut.rows], place[0]), _rows_of(term[cut.columns], place[1])) for term in terms]
    seen = _seen([rows for rows, _ in planes], fine[0]), _seen([columns for _, columns in planes], fine[1])
    reference = read([index], seen)
    result = np.float32(0)
    for term, (rows, columns) in zip(terms, planes, strict=True):
        across = term[cut.normal]
        if across is not None:
            one = _mixed(across[layers].astype(np.float32), read, seen)
        else:
            one = reference if layers == [index] else read(layers, seen)
        one = one if rows is None else rows[:, seen[0]] @ one
        result = result + (one if columns is None else one @ columns[:, seen[1]].T)
    inner = tuple(slice(one.start - read_.start, one.stop - read_.start) for one, read_ in zip(fine, seen, strict=True))
    return np.asarray(result, dtype=np.float32), reference[0][inner]


def _fine_window(place: Window, factors: tuple[int, int]) -> Window:
    """Return a window in high-resolution voxels, given in low-resolution voxels."""
    rows, columns = (
        slice(part.start * factor, part.stop * factor) for part, factor in zip(place, factors, strict=True)
    )
    return rows, columns


def _rows_of(matrix: NDArray[np.float64] | None, part: slice) -> NDArray[np.float32] | None:
    return None if matrix is None else matrix[part].astype(np.float32)


def _seen(matrices: Sequence[NDArray[np.float32] | None], fine: slice) -> slice:
    """Return the smallest range that contains `fine` and the nonzero columns of some matrices."""
    found = [np.flatnonzero(matrix.any(axis=0)) for matrix in matrices if matrix is not None]
    bounds = [(int(one[0]), int(one[-1]) + 1) for one in found if one.size]
    starts, stops = zip((fine.start, fine.stop), *bounds, strict=True)
    return slice(min(starts), max(stops))


def _mixed(across: NDArray[np.float32], read: ReadSlices, seen: Window) -> NDArray[np.float32]:
    """Return weighted sums of slices, one per row of weights, reading at most `SLAB` slices at a time."""
    needed = np.flatnonzero(across.any(axis=0))
    slabs = (needed[start : start + SLAB] for start in range(0, needed.size, SLAB))
    return reduce(np.add, (np.tensordot(across[:, slab], read(slab.tolist(), seen), axes=1) for slab in slabs))


def with_noise(
    model: ForwardModel, layers: NDArray[np.float32], cut: Cut, generator: np.random.Generator, sigma: float
) -> NDArray[np.float32]:
    """Add noise to slices of shape (slice, rows, columns), whose orientation in the volume is `cut`."""
    # Across sections, noise models that treat every section differently need to know where they are.
    if len(layers) == 1 and cut.columns != model.slice_axis:
        return model.add_noise(layers[0], generator, sigma)[None]
    noisy = model.add_noise(np.moveaxis(layers, (0, 1, 2), cut), generator, sigma)
    return np.moveaxis(noisy, cut, (0, 1, 2))


def _draw_place(mask: NDArray[np.bool_], side: int, factors: tuple[int, int], generator: np.random.Generator) -> Window:
    """Draw a window of `side` low-resolution rows and columns around a foreground voxel, shifted to fit the slice."""
    foreground = np.flatnonzero(mask)
    voxel = np.unravel_index(foreground[generator.integers(foreground.size)], mask.shape)
    starts = [
        int(np.clip(one // factor - side // 2, 0, max(0, size // factor - side)))
        for one, factor, size in zip(voxel, factors, mask.shape, strict=True)
    ]
    rows, columns = (
        slice(start, min(start + side, size // factor))
        for start, factor, size in zip(starts, factors, mask.shape, strict=True)
    )
    return rows, columns


def _padded(
    coarse: NDArray[np.float32], fine: NDArray[np.float32], side: int, factors: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pad a pair that is smaller than a patch with zeros at the high end."""
    missing = [side - size for size in coarse.shape[1:]]
    if not any(missing):
        return coarse, fine
    coarse = np.pad(coarse, [(0, 0), *((0, count) for count in missing)])
    return coarse, np.pad(fine, [(0, count * factor) for count, factor in zip(missing, factors, strict=True)])


def _augmented(
    coarse: NDArray[np.float32], fine: NDArray[np.float32], generator: np.random.Generator, transpose: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Apply a random flip to both images, and, if allowed, a transpose to half of the pairs."""
    flip_rows, flip_columns, exchange = generator.integers(2, size=3)
    steps = (slice(None, None, -1 if flip_rows else 1), slice(None, None, -1 if flip_columns else 1))
    pair = coarse[..., *steps], fine[steps]
    return (pair[0].swapaxes(-2, -1), pair[1].T) if exchange and transpose else pair
