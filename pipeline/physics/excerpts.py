"""Excerpts of validation volumes, on which settings are tuned and training is validated.

An excerpt consists of a few slices, or of a block if the volume is low-resolution along all three axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.image.image import Image, Slicing
from pipeline.image.intensity import DATA_RANGE
from pipeline.image.slices import evenly_spaced, filled_slices
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import crop_to, cuts, is_isotropic
from pipeline.physics.low_resolution import LowResolutionImage

PerSlice = Callable[..., float]
"""`per_slice(reference, estimate, mask, data_range)` of a module of pipeline.metrics."""


SIDE_LR = 5
"""Side of a block in low-resolution voxels, per requested slice."""
MAX_SIDE = 80
"""Maximum side of a block in high-resolution voxels, for methods that process it as a whole."""


@dataclass(frozen=True)
class Excerpt:
    """Slices or a block of a volume: the reference and the low-resolution input.

    Attributes:
        reference: high-resolution slices with the mask "foreground".
        lr: low-resolution slices, normalised.
        model: the forward model between the two, which leaves the axis of non-contiguous slices unchanged.
        noiseless: low-resolution slices without noise.
        context: neighbours of the slices in `lr`, shape (2 n, x, y, z), from the slice that is n before each slice to
            the one that is n after it; None if they are not needed, are in `lr` themselves, or do not exist.
        noiseless_context: the same without noise.
    """

    reference: Image
    lr: NDArray[np.float32]
    model: ForwardModel
    noiseless: NDArray[np.float32]
    context: NDArray[np.float32] | None = None
    noiseless_context: NDArray[np.float32] | None = None

    @property
    def slice_axis(self) -> int:
        """Axis perpendicular to the slices."""
        return self.reference.slice_axis

    @property
    def min_slices(self) -> int:
        """Minimum number of low-resolution slices that can be restored independently: all slices of a block, else 1."""
        return self.lr.shape[self.slice_axis] if is_isotropic(self.model.factors) else 1

    def with_noise_level(self, sigma: float) -> Excerpt:
        """Return the excerpt with another noise level; the random numbers are the same for every level."""
        model = replace(self.model, noise_sigma=sigma)
        context = self.noiseless_context
        if context is not None:
            generators = [np.random.default_rng([model.seed, index]) for index in range(len(context))]
            context = np.stack([model.add_noise(*pair) for pair in zip(context, generators, strict=True)])
        return replace(self, lr=model.add_seeded_noise(self.noiseless), model=model, context=context)

    def with_ratio(self, ratio: float) -> Excerpt:
        """Return the excerpt with another spacing of its thick slices.

        Args:
            ratio: spacing of the thick slices in high-resolution voxels, any real number of at least 1.
        """
        axis = self.model.slice_axis
        factors = tuple(ratio if other == axis else 1 for other in range(len(self.model.factors)))
        model = replace(self.model, factors=factors)
        noiseless = model.coarsen(self.reference.data)
        lr = model.add_seeded_noise(noiseless)
        return replace(self, model=model, noiseless=noiseless, lr=lr, context=None, noiseless_context=None)

    def first(self, factor: float) -> Excerpt:
        """Return the first slice of the input, or a whole block, with intensities multiplied by a factor.

        The reference is unchanged.
        """
        chosen = range(self.min_slices)
        arrays = {
            name: None if array is None else factor * np.take(array, chosen, array.ndim - 3 + self.slice_axis)
            for name, array in (("lr", self.lr), ("context", self.context))
        }
        return replace(self, **arrays)

    def mean_over_slices(self, estimate: NDArray[np.floating], metrics: Mapping[str, PerSlice]) -> dict[str, float]:
        """Evaluate an estimate over the foreground of every slice.

        Args:
            estimate: restored slices; padding beyond the size of the reference is ignored.
            metrics: functions `per_slice` of modules of pipeline.metrics, by name.

        Returns:
            Means over the slices with foreground, by name.
        """
        arrays = (self.reference.data, crop_to(estimate, self.reference.data.shape), self.reference.masks["foreground"])
        slices = list(zip(*(np.moveaxis(array, self.slice_axis, 0) for array in arrays), strict=True))
        return {
            name: float(np.mean([measure(*one, data_range=DATA_RANGE) for one in slices if one[2].any()]))
            for name, measure in metrics.items()
        }


def excerpt(reference: Image, lr: LowResolutionImage, max_slices: int, neighbours: int = 0) -> Excerpt:
    """Extract evenly spaced slices with foreground from a volume and its low-resolution image.

    The slices have the first orientation of `pipeline.physics.grid.cuts`. A blur across the slices is part of the
    low-resolution slices but not of the excerpt's model, since non-contiguous slices lack the neighbours it needs.

    If the volume was coarsened along all three axes, the excerpt is a block whose side is proportional to `max_slices`.
    The block is degraded as if it were the whole volume, so that it agrees with its own model.

    Args:
        reference: high-resolution volume.
        lr: its low-resolution image.
        max_slices: maximum number of slices.
        neighbours: number of neighbouring slices on each side of every slice, for networks that are given them.

    Raises:
        UserError: the axes of the volume were coarsened by different factors.
    """
    model = lr.forward_model
    if is_isotropic(model.factors):
        return _block(reference, model, SIDE_LR * max_slices)
    slice_axis = reference.slice_axis
    axis = cuts(model.factors, slice_axis)[0].normal
    mask = reference.masks["foreground"]
    candidates = reference.block.foreground_slices if axis == slice_axis else filled_slices(mask, axis)
    chosen = evenly_spaced(candidates, max_slices)
    masks = {"foreground": np.take(mask, chosen, axis)}
    slicing = Slicing(reference.plane, axis)
    kept = reference.with_data(np.take(reference.data, chosen, axis), masks=masks, slicing=slicing)
    shape = tuple(int(size) for size in kept.data.shape)
    slice_model = replace(model, hr_shape=shape, still_axis=axis)
    found = Excerpt(
        kept, np.take(lr.data, chosen, axis), slice_model, model.coarsen_slices(reference.data, axis, chosen)
    )
    if not neighbours or (axis == slice_axis and not lr.stack.are_neighbours):
        return found
    offsets = [offset for offset in range(-neighbours, neighbours + 1) if offset]
    beside = [np.clip(np.add(chosen, offset), 0, reference.data.shape[axis] - 1).tolist() for offset in offsets]
    return replace(
        found,
        context=np.stack([np.take(lr.data, indices, axis) for indices in beside]),
        noiseless_context=np.stack([model.coarsen_slices(reference.data, axis, indices) for indices in beside]),
    )


def contiguous_excerpt(reference: Image, lr: LowResolutionImage, max_slices: int) -> Excerpt:
    """Extract neighbouring slices from the middle of the foreground, for methods that process a volume as a whole.

    The slices are degraded as if they were the whole volume, so that they agree with their own model. If the slices of
    the volume are no neighbours, the result is that of `excerpt`; if all axes were coarsened, it is a smaller block.

    Args:
        reference: high-resolution volume.
        lr: its low-resolution image.
        max_slices: maximum number of slices.

    Raises:
        UserError: the axes of the volume were coarsened by different factors.
    """
    model = lr.forward_model
    if not lr.stack.are_neighbours:
        return excerpt(reference, lr, max_slices)
    if is_isotropic(model.factors):
        return _block(reference, model, min(SIDE_LR * max_slices, int(MAX_SIDE / max(model.factors))))
    axis = cuts(model.factors, reference.slice_axis)[0].normal
    filled, size = filled_slices(reference.masks["foreground"], axis), reference.data.shape[axis]
    start = int(np.clip(filled[len(filled) // 2] - max_slices // 2, 0, max(0, size - max_slices)))
    place = (*(slice(None) for _ in range(axis)), slice(start, start + max_slices))
    one = _cut_out(reference, model, place)
    return replace(one, reference=replace(one.reference, slicing=Slicing(reference.plane, axis)))


def _block(reference: Image, model: ForwardModel, side: int) -> Excerpt:
    """Extract a block with sides of at most `side` low-resolution voxels.

    Along the first in-plane axis the block starts at the edge of the foreground; along the other axes it is centred. It
    therefore contains both superficial and deep structures.
    """
    mask, slice_axis = reference.masks["foreground"], reference.slice_axis
    rim = min(axis for axis in range(mask.ndim) if axis != slice_axis)
    places = []
    for axis, (size, factor) in enumerate(zip(model.lr_shape, model.factors, strict=True)):
        filled = filled_slices(mask, axis)
        low, high = int(filled[0] // factor), int(filled[-1] // factor) + 1
        start = int(np.clip(low if axis == rim else (low + high - side) // 2, 0, max(0, size - side)))
        places.append(slice(int(start * factor), int((start + side) * factor)))
    return _cut_out(reference, model, tuple(places))


def _cut_out(reference: Image, model: ForwardModel, place: tuple[slice, ...]) -> Excerpt:
    """Extract a part of a volume, and degrade it as if it were the whole volume."""
    mask = reference.masks["foreground"]
    kept = reference.with_data(reference.data[place], masks={"foreground": mask[place]})
    block_model = replace(model, hr_shape=tuple(int(size) for size in kept.data.shape))
    noiseless = block_model.coarsen(kept.data)
    return Excerpt(kept, block_model.add_seeded_noise(noiseless), block_model, noiseless)
