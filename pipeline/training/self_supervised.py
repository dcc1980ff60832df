"""Make training pairs out of a volume of thick slices alone, so that no other data is needed.

Within its slices a volume has the resolution that it lacks across them. So the slices are degraded along one of their
own axes as the scan was degraded across them, and a network learns to undo that; afterwards it is applied across the
slices. The idea is SMORE's (Zhao, Dewey, Pham, Calabresi, Reich and Prince, IEEE Transactions on Medical Imaging
40:805-817, 2021). It rests on anatomy that looks alike in all directions and on the voxels being as large within the
slices as the restored ones are across them.

Nothing but the low-resolution volume is looked at, so that the reference of a test volume stays unseen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.errors import UserError
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Image
from pipeline.image.slices import cut_block, filled_slices
from pipeline.physics.degradation import degrade
from pipeline.physics.forward import ForwardModel, volume_seed
from pipeline.physics.low_resolution import LowResolutionImage

ROLES = ("train-columns", "train-rows", "val")
"""The pairs of a volume: slices to learn from, the same with their axes exchanged, and slices to watch progress by."""
VALIDATION_SHARE = 0.15
"""Share of the slices with foreground, at the end of the volume, that are kept for validation."""
GAP = 1
"""Thick slices between the two."""
FEWEST = 8
"""Slices with foreground below which there is too little to learn from."""


def own_pairs(lr: LowResolutionImage) -> dict[str, tuple[Image, LowResolutionImage]]:
    """Return pairs of what stands for the reference, and its low-resolution image, by role.

    Args:
        lr: volume whose slices were made thicker.

    Raises:
        UserError: the slices are not thicker, or too few.
    """
    model = lr.forward_model
    axis = lr.slice_axis
    factor = model.factors[axis]
    name = lr.id
    if factor == 1:
        raise UserError(
            f"volume {name!r}: its slices are no thicker than in the reference; nothing can be learnt for them."
        )
    rows, columns = (other for other in range(3) if other != axis)
    mask = foreground_mask(lr.data)
    filled = filled_slices(mask, axis)
    if len(filled) < FEWEST:
        raise UserError(f"volume {name!r}: {len(filled)} slices with foreground are too few; {FEWEST} are needed.")
    last = filled[-max(2, round(VALIDATION_SHARE * len(filled)))]
    reference = lr.plain(masks={"foreground": mask})
    blocks = {"train": (filled[0], last - GAP), "val": (last, filled[-1] + 1)}
    turned = _exchanged(reference, rows, columns)
    sources = {"train-columns": (reference, "train"), "train-rows": (turned, "train"), "val": (reference, "val")}
    return {role: _pair(source, blocks[split], columns, model, split) for role, (source, split) in sources.items()}


def _exchanged(image: Image, one: int, other: int) -> Image:
    """Return the image with two axes exchanged; where it lies in the world is not kept."""
    masks = {name: np.swapaxes(mask, one, other) for name, mask in image.masks.items()}
    return image.with_data(np.swapaxes(image.data, one, other), masks=masks)


def _pair(
    image: Image, block: tuple[int, int], columns: int, model: ForwardModel, split: str
) -> tuple[Image, LowResolutionImage]:
    """Cut a block of slices and degrades it along their columns as `model` degrades across slices."""
    axis = image.slice_axis
    cut = cut_block(image, block, axis)
    masks = {"foreground": np.take(image.masks["foreground"], range(*block), axis)}
    name = f"{image.id}-own-{split}"
    identity = replace(cut.identity, id=name, split=split)
    reference = cut.with_data(cut.data, masks=masks, identity=identity)
    reference = reference.with_block(foreground_slices=tuple(range(block[1] - block[0])))
    shape = tuple(int(size) for size in reference.data.shape)
    factors = tuple(model.factors[axis] if other == columns else 1 for other in range(3))
    # To the model, the columns' axis is now the one across slices. Slices that were cut are independent images.
    along = replace(
        model,
        factors=factors,
        hr_shape=shape,
        slice_axis=columns,
        spacing_mm=None if model.spacing_mm is None else tuple(_within(model, columns) for _ in range(3)),
        seed=volume_seed(model.seed, name),
    )
    return reference, degrade(reference, along)


def _within(model: ForwardModel, columns: int) -> float:
    """Distance of voxels within the slices, in mm."""
    assert model.spacing_mm is not None
    return model.spacing_mm[columns]
