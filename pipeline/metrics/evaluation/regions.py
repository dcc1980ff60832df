"""Regions over which metrics are computed, and their references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.config.sections import Evaluate
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.segmentation import label_regions

NEIGHBOURS, DENOISED = "neighbours", "denoised"
"""Regions that consist of the foreground, evaluated against an estimate of the reference instead of the reference."""
INTERIOR, EDGE_VOXELS = "interior", 4
"""Region of the foreground without its edge, and the width of this edge within a slice, in voxels of the reference. The
edge of a head without skull is a step to 0, which is harder to restore than any anatomical edge."""
LABELS = "labels"
"""Placeholder for the regions of a segmentation."""
UNSEEN = "unseen"
"""Region of the foreground of slices that contribute nothing to the low-resolution volume: the others are, up to noise,
in the input of every method, which makes restoring them easy."""


def region_mask(reference: Image, region: str, unseen: Sequence[int] = ()) -> NDArray[np.bool_]:
    """Return the mask of a region: the reference's mask of that name, or all voxels for `whole`.

    For a stack of pictures of several sizes, `whole` excludes their padding. The interior excludes the edges of holes
    in the foreground, too.

    Args:
        reference: extracted volume.
        region: name of the region.
        unseen: slices of the region "unseen", see `ForwardModel.unseen_slices`.
    """
    if region == UNSEEN:
        mask = np.zeros(reference.data.shape, dtype=bool)
        here = (slice(None),) * reference.slice_axis + (list(unseen),)
        mask[here] = reference.masks["foreground"][here]
        return mask
    if region == INTERIOR:
        slices = np.moveaxis(reference.masks["foreground"], reference.slice_axis, 0)
        distances = [np.asarray(ndimage.distance_transform_edt(np.pad(one, 1))) for one in slices]
        return np.moveaxis(np.stack(distances)[:, 1:-1, 1:-1] > EDGE_VOXELS, 0, reference.slice_axis)
    if region == "whole":
        return reference.masks.get("picture", np.ones(reference.data.shape, dtype=bool))
    return reference.masks[region]


def neighbours(reference: Image) -> Image:
    """Return the mean of the two neighbours of each slice; the first and the last slice have a single neighbour.

    In serial sections, noise is independent between sections while structures continue. An estimate that is closer to
    the neighbours than the reference is contains less noise than the reference. This does not apply to stacks of
    unrelated pictures.

    Raises:
        UserError: the volume has a single slice.
    """
    axis, step = reference.slice_axis, reference.stack.channel_count
    slices = np.moveaxis(np.asarray(reference.data), axis, 0)
    if len(slices) == step:
        raise UserError(f"volume {reference.id!r}: a single slice has no neighbours (evaluate.regions).")
    before = np.concatenate([slices[step : 2 * step], slices[:-step]])
    after = np.concatenate([slices[step:], slices[-2 * step : -step]])
    return reference.with_data(np.moveaxis((before + after) / 2, 0, axis))


def references(
    reference: Image, settings: Evaluate, denoised: Image | None, unseen: Sequence[int] = ()
) -> Iterator[tuple[Image, dict[str, NDArray[np.bool_]]]]:
    """Yield every reference, starting with the extracted volume, and the masks of its regions by name.

    Args:
        reference: extracted volume.
        settings: the section `evaluate`.
        denoised: the denoised reference; required if `settings` contain the region "denoised".
        unseen: slices of the region "unseen"; without any, the region has no voxels.
    """
    names = [name for name in settings.regions if name not in (NEIGHBOURS, DENOISED, LABELS)]
    masks = {name: region_mask(reference, name, unseen) for name in names}
    if LABELS in settings.regions:
        masks |= label_regions(reference, settings.labels)
    yield reference, masks
    if NEIGHBOURS in settings.regions:
        yield neighbours(reference), {NEIGHBOURS: region_mask(reference, "foreground")}
    if DENOISED in settings.regions:
        assert denoised is not None
        yield denoised, {DENOISED: region_mask(reference, "foreground")}
