"""Self-supervised training pairs from a single volume of thick slices.

A volume of thick slices has a higher resolution within its slices than across them. The slices are degraded along one
of their axes as the scan was degraded across them, and a network is trained to undo this; it is then applied across the
slices. This is the idea of SMORE (Zhao, Dewey, Pham, Calabresi, Reich and Prince, IEEE Transactions on Medical Imaging
40:805-817, 2021). It assumes that anatomy looks similar in all directions, and that voxels are as large within the
slices as the restored ones are across them.

Only the low-resolution volume is used, so that the reference of a test volume remains unseen.
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
"""The pairs of a volume: training slices, the same slices with their axes exchanged, and validation slices."""
VALIDATION_SHARE = 0.15
"""Fraction of the slices with foreground, at the end of the volume, that are used for validation."""
GAP = 1
"""Number of thick slices between the training and the validation slices."""
MIN_SLICES = 6
"""Minimum number of slices with foreground."""


def self_supervised_pairs(lr: LowResolutionImage) -> dict[str, tuple[Image, LowResolutionImage]]:
    """Return pairs of a reference and its low-resolution image, by role; the references are slices of the volume.

    Args:
        lr: volume of thick slices.

    Raises:
        UserError: the slices are not thick, or there are too few.
    """
    model = lr.forward_model
    axis = lr.slice_axis
    factor = model.factors[axis]
    name = lr.id
    if factor == 1:
        raise UserError(
            f"volume {name!r}: its slices are no thicker than those of the reference; self-supervised training "
            "requires thick slices."
        )
    rows, columns = (other for other in range(3) if other != axis)
    mask = foreground_mask(lr.data)
    filled = filled_slices(mask, axis)
    if len(filled) < MIN_SLICES:
        raise UserError(
            f"volume {name!r}: {len(filled)} slices with foreground are too few; at least {MIN_SLICES} are required."
        )
    last = filled[-max(2, round(VALIDATION_SHARE * len(filled)))]
    reference = lr.plain(masks={"foreground": mask})
    blocks = {"train": (filled[0], last - GAP), "val": (last, filled[-1] + 1)}
    turned = _exchanged(reference, rows, columns)
    sources = {"train-columns": (reference, "train"), "train-rows": (turned, "train"), "val": (reference, "val")}
    return {role: _pair(source, blocks[split], columns, model, split) for role, (source, split) in sources.items()}


def _exchanged(image: Image, one: int, other: int) -> Image:
    """Return the image with two axes exchanged; its affine is not updated."""
    masks = {name: np.swapaxes(mask, one, other) for name, mask in image.masks.items()}
    return image.with_data(np.swapaxes(image.data, one, other), masks=masks)


def _pair(
    image: Image, block: tuple[int, int], columns: int, model: ForwardModel, split: str
) -> tuple[Image, LowResolutionImage]:
    """Crop a block of slices and degrade it along the columns as `model` degrades across slices."""
    axis = image.slice_axis
    cut = cut_block(image, block, axis)
    masks = {"foreground": np.take(image.masks["foreground"], range(*block), axis)}
    name = f"{image.id}-own-{split}"
    identity = replace(cut.identity, id=name, split=split)
    reference = cut.with_data(cut.data, masks=masks, identity=identity)
    reference = reference.with_block(foreground_slices=tuple(range(block[1] - block[0])))
    shape = tuple(int(size) for size in reference.data.shape)
    factors = tuple(model.factors[axis] if other == columns else 1 for other in range(3))
    # In this model, the axis of the columns is the one across slices.
    along = replace(
        model,
        factors=factors,
        hr_shape=shape,
        slice_axis=columns,
        spacing_mm=None if model.spacing_mm is None else (model.spacing_mm[columns],) * 3,
        seed=volume_seed(model.seed, name),
    )
    return reference, degrade(reference, along)
