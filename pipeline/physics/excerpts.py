"""A few slices of the validation volumes, on which settings are chosen and progress is watched.

Of volumes that are coarse along all three axes, where no slice was measured by itself, a block.
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
"""A block's sides have this many low-resolution voxels for every slice that is asked for."""


@dataclass(frozen=True)
class Excerpt:
    """Some slices or a block of a volume, with the reference and with what was measured.

    Attributes:
        reference: high-resolution slices with their mask "foreground".
        measured: the low-resolution slices, normalised.
        model: the forward model between the two; along the axis of slices that lie apart it does nothing.
        noiseless: the low-resolution slices before the noise.
    """

    reference: Image
    measured: NDArray[np.float32]
    model: ForwardModel
    noiseless: NDArray[np.float32]

    @property
    def slice_axis(self) -> int:
        """Axis along which the slices follow each other."""
        return self.reference.slice_axis

    @property
    def measured_slices(self) -> int:
        """Fewest low-resolution slices that can be restored apart from the others: of a block, all of it."""
        return self.measured.shape[self.slice_axis] if is_isotropic(self.model.factors) else 1

    def at_noise(self, sigma: float) -> Excerpt:
        """Return the same slices, measured anew with another noise level; the draw is always the same."""
        model = replace(self.model, noise_sigma=sigma)
        return replace(self, measured=model.measured(self.noiseless), model=model)

    def mean_over_slices(self, estimate: NDArray[np.floating], metrics: Mapping[str, PerSlice]) -> dict[str, float]:
        """Measure an estimate over the foreground of every slice.

        Args:
            estimate: restored slices; what lies beyond the reference's size is left out.
            metrics: functions `per_slice` of modules of pipeline.metrics, by name.

        Returns:
            The mean over the slices, by name.
        """
        arrays = (self.reference.data, crop_to(estimate, self.reference.data.shape), self.reference.masks["foreground"])
        slices = list(zip(*(np.moveaxis(array, self.slice_axis, 0) for array in arrays), strict=True))
        return {
            name: float(np.mean([measure(*one, data_range=DATA_RANGE) for one in slices if one[2].any()]))
            for name, measure in metrics.items()
        }


def excerpt(reference: Image, lr: LowResolutionImage, most: int) -> Excerpt:
    """Take at most `most` evenly spaced slices with foreground of a volume and its low-resolution image.

    The slices are cut so that they show what was lost, see `pipeline.physics.grid.cuts`. A blur across them is part of
    what was measured, though not of the excerpt's model, since a few slices do not hold what it needs.

    Of a volume that was coarsened along all three axes it takes a block, whose sides grow with `most`. The block is
    degraded as if it were the whole volume, so that it agrees with its own model.

    Raises:
        UserError: the volume was coarsened by different factors along its axes.
    """
    model = lr.forward_model
    if is_isotropic(model.factors):
        return _block(reference, model, SIDE_LR * most)
    slice_axis = reference.slice_axis
    axis = cuts(model.factors, slice_axis)[0].normal
    usual = axis == slice_axis
    candidates = reference.block.foreground_slices if usual else filled_slices(reference.masks["foreground"], axis)
    chosen = evenly_spaced(candidates, most)
    masks = {"foreground": np.take(reference.masks["foreground"], chosen, axis)}
    slicing = Slicing(reference.plane, axis)
    kept = reference.with_data(np.take(reference.data, chosen, axis), masks=masks, slicing=slicing)
    shape = tuple(int(size) for size in kept.data.shape)
    apart = replace(model, hr_shape=shape, still_axis=axis)
    return Excerpt(kept, np.take(lr.data, chosen, axis), apart, model.coarsen_slices(reference.data, axis, chosen))


def _block(reference: Image, model: ForwardModel, side: int) -> Excerpt:
    """Cut a block with sides of at most `side` low-resolution voxels, from the rim of the foreground to its inside.

    Along the first axis within the slices it begins where the foreground does, along the others it lies in the middle:
    so it holds the outer layers as well as what is deep inside.
    """
    mask, slice_axis = reference.masks["foreground"], reference.slice_axis
    rim = min(axis for axis in range(mask.ndim) if axis != slice_axis)
    places = []
    for axis, (size, factor) in enumerate(zip(model.lr_shape, model.factors, strict=True)):
        filled = filled_slices(mask, axis)
        low, high = filled[0] // factor, filled[-1] // factor + 1
        start = int(np.clip(low if axis == rim else (low + high - side) // 2, 0, max(0, size - side)))
        places.append(slice(start * factor, (start + side) * factor))
    place = tuple(places)
    kept = reference.with_data(reference.data[place], masks={"foreground": mask[place]})
    apart = replace(model, hr_shape=tuple(int(size) for size in kept.data.shape))
    noiseless = apart.coarsen(kept.data)
    return Excerpt(kept, apart.measured(noiseless), apart, noiseless)
