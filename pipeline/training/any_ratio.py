"""Patches for networks that restore thick slices of any ratio of slice spacing to voxel size.

A patch is part of a plane across the slices of an isotropic reference; the slices follow each other along its columns,
in any of the three directions. Their spacing, thickness and position are drawn anew for every patch. Noise is added to
the thick slices, from which lines on the grid of the reference are reconstructed, as from a scan before the network
restores it (`pipeline.physics.slice_sampling`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.config.recipe import Recipe
from pipeline.errors import UserError
from pipeline.image.lengths import lengths_in_words
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import Cut, covered_shape, padded_size, whole_cells
from pipeline.physics.slice_sampling import deconvolution, slice_sampling
from pipeline.training.augmentation.background import has_empty_background
from pipeline.training.augmentation.neighbours import draw_neighbours
from pipeline.training.augmentation.structures import draw_structures, with_structures
from pipeline.training.patches import Patch, PatchSampler, PatchTerms, TrainingVolume, measured_pair, with_noise
from pipeline.training.slabs import ReadSlices, Window

UNCHANGED = (1, 1)
"""Factors of a network of any ratio along rows and columns."""
SAME_SPACING = 0.15
"""Maximum relative difference of the voxel sizes of a reference that counts as isotropic."""
ALL = slice(None)
MIN_COVERED = 0.05
"""Minimum fraction of a voxel of a thick slice that contains a head or brain without background."""


class Line(NamedTuple):
    """Thick slices along the columns of a plane.

    Attributes:
        start: first column of the plane that the slices cover; its choice determines their position in the head.
        slices: number of slices.
        columns: columns of the patch, from `start` on.
    """

    start: int
    slices: int
    columns: slice


class AnyRatioSampler(PatchSampler):
    """Random batches of patches of thick slices. They depend on the seed and the step alone.

    Args:
        volumes: isotropic references from which patches are drawn; of their forward models, operators and noise are
            used, but not the factors.
        recipe: the recipe of the training, with a range of ratios.
        seed: of the run.

    Raises:
        UserError: a volume is not isotropic or too small, or the degradations of the recipe do not suit the volumes.
    """

    def __init__(self, volumes: list[TrainingVolume], recipe: Recipe, seed: int) -> None:
        if recipe.ratio_range is None:
            raise ValueError("the recipe has no range of ratios")
        self._ratio_range = recipe.ratio_range
        for volume in volumes:
            _check_isotropic(volume.model)
        super().__init__(volumes, recipe, seed)

    def _places(self, volume: TrainingVolume) -> Sequence[tuple[Cut, int]]:
        """Return all planes of a volume, in all orientations in which it is larger than a patch."""
        side = self._recipe.patch_lr
        needed = (0, side, side + 2 * math.ceil(self._ratio_range[1]))
        orientations = [Cut(*axes) for axes in permutations(range(3))]
        large = [cut for cut in orientations if all(np.take(volume.data.shape, cut) >= needed)]
        if not large:
            sizes = " x ".join(map(str, volume.data.shape))
            raise UserError(
                f"a training volume of {sizes} voxels is too small: for patches of {side} voxels and slices of up to "
                f"{self._ratio_range[1]:g} voxels, two axes need at least {side} and {needed[-1]}. Lower patch_lr or "
                "ratio_range, or leave the volume out."
            )
        return [(cut, index) for cut in large for index in volume.slices_along(cut.normal)]

    def _draw(self, generator: np.random.Generator) -> Patch:
        volume, cut, index = self._draw_slice(generator)
        low, high = map(math.log, self._ratio_range)
        ratio = math.exp(generator.uniform(low, high))
        model = self._models.draw(volume.model, generator)
        draw_reference = self._draw_stored if volume.label_map is None else self._draw_synthetic
        read, mask, model, place = draw_reference(volume, model, cut, index, UNCHANGED, generator)
        line = _draw_line(volume.data.shape[cut.columns], ratio, place[1], generator)
        model = _across_slices(model, cut, ratio, line.slices)
        sigma = self._draw_noise_level(model, generator)
        weights = deconvolution(model, sigma)[line.columns].astype(np.float32)
        inside = place[0], _shifted(line.columns, line.start)
        if self._happens(self._recipe.structure_augmentation, generator) and mask[inside].any():
            read = with_structures(read, draw_structures(mask, inside, index, generator), mask.shape)
        given = draw_neighbours(index, self._recipe.neighbours, volume.data.shape[cut.normal], generator)
        planes = sorted(set(given))
        region = (cut, planes, index, _from(read, line.start), (place[0], ALL), (place[0], line.columns))
        coarse, reference = measured_pair(model.terms, *region)
        noisy = with_noise(model, coarse, cut, generator, sigma)
        if self._happens(self._recipe.background_augmentation, generator) and has_empty_background(
            reference, mask[inside]
        ):
            filled, _ = measured_pair(model.terms, *region[:3], _not_zero(region[3]), *region[4:])
            noisy = np.where(filled > MIN_COVERED, noisy, np.float32(0))
        operator = _operator(model, cut, weights, (place[0], line.columns))
        measured = (noisy @ weights.T)[[planes.index(one) for one in given]]
        patch = Patch(measured, reference, sigma, operator, slice_sampling(model))
        return _flipped(patch, *generator.integers(2, size=2))


def _check_isotropic(model: ForwardModel) -> None:
    sizes = model.spacing_mm
    if sizes is not None and max(sizes) > (1 + SAME_SPACING) * min(sizes):
        raise UserError(
            f"ratio_range: training volumes must be isotropic, but one has voxels of {lengths_in_words(sizes)}. "
            "Leave it out."
        )


def _draw_line(size: int, ratio: float, wanted: slice, generator: np.random.Generator) -> Line:
    """Draw the position of thick slices.

    Args:
        size: number of columns of the plane.
        ratio: spacing of the slices, in columns.
        wanted: columns of the patch, which are moved to where whole slices cover them.
        generator: source of the random numbers.
    """
    start = int(generator.integers(math.ceil(ratio)))
    count = whole_cells(size - start, ratio)
    side = wanted.stop - wanted.start
    first = int(np.clip(wanted.start - start, 0, padded_size(count, ratio) - side))
    return Line(start, count, slice(first, first + side))


def _across_slices(model: ForwardModel, cut: Cut, ratio: float, count: int) -> ForwardModel:
    """Return the forward model of `count` thick slices along the columns of a plane."""
    factors = [ratio if axis == cut.columns else 1 for axis in range(3)]
    shape = [*model.hr_shape]
    shape[cut.columns] = covered_shape([count], [ratio])[0]
    return replace(model, factors=tuple(factors), hr_shape=tuple(shape), slice_axis=cut.columns)


def _operator(model: ForwardModel, cut: Cut, weights: NDArray[np.float32], fine: Window) -> PatchTerms:
    """Return the forward model and the reconstruction for a patch alone, whose edges are repeated beyond it."""
    rows, columns = fine
    side = rows.stop - rows.start
    terms = []
    for term in model.terms:
        across, along = term[cut.rows], term[cut.columns]
        assert along is not None
        first = np.eye(side) if across is None else _folded(across[rows], rows)
        terms.append((first.astype(np.float32), _folded(weights @ along, columns).astype(np.float32)))
    return tuple(terms)


def _folded(matrix: NDArray[np.floating], part: slice) -> NDArray[np.floating]:
    """Return the columns of a matrix in a range; the sums of those before and after are added to its ends."""
    inside = matrix[:, part].copy()
    inside[:, 0] += matrix[:, : part.start].sum(axis=1)
    inside[:, -1] += matrix[:, part.stop :].sum(axis=1)
    return inside


def _flipped(patch: Patch, rows: int, columns: int) -> Patch:
    """Return the patch with its rows, its columns or both in reverse order."""
    down, right = (slice(None, None, -1 if reverse else 1) for reverse in (rows, columns))
    operator = tuple((first[down, down], second[right, right]) for first, second in patch.operator)
    return patch._replace(
        measured=patch.measured[:, down, right], reference=patch.reference[down, right], operator=operator
    )


def _shifted(part: slice, offset: int) -> slice:
    return slice(part.start + offset, part.stop + offset)


def _from(read: ReadSlices, start: int) -> ReadSlices:
    """Return a reader whose columns are counted from `start`."""
    return lambda indices, window: read(indices, (window[0], _shifted(window[1], start)))


def _not_zero(read: ReadSlices) -> ReadSlices:
    """Return a reader of 1 where a reference is not 0."""
    return lambda indices, window: (read(indices, window) != 0).astype(np.float32)
