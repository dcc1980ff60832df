"""One minus the multi-scale structural similarity, the image-quality term of Choi and Park (2023).

Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", Asilomar Conference on
Signals, Systems and Computers, 2003. The five scales of the paper require 176 pixels. Smaller patches have fewer
scales, down to the last one that contains the window of 11 pixels (4 scales from 88 pixels, 3 from 44). The exponents
of the remaining scales are divided by their sum, so that they add up to one as in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure

from pipeline.errors import UserError
from pipeline.training.loss_inputs import LossInputs

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, the finest first (Wang et al. 2003)."""

WINDOW_SIDE = 11
"""Side of the Gaussian window of structural similarity, in pixels; its standard deviation is 1.5."""

MIN_SIMILARITY = 1e-4
"""Lower bound of the similarity of a scale: powers require positive numbers, and a zero would cancel other scales."""


def loss(estimate: Tensor, inputs: LossInputs) -> Tensor:
    """Return the mean over the batch of 1 - MS-SSIM, with a data range of 1.

    Args:
        estimate: shape (batch, channels, y, x).
        inputs: of the same batch.

    Raises:
        UserError: the patch is smaller than the window.
    """
    # Variances are differences of nearly equal numbers, for which half precision is too coarse.
    with torch.autocast(estimate.device.type, enabled=False):
        return 1 - _similarity(estimate.float(), inputs.reference.float()).mean()


def _similarity(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return MS-SSIM of two tensors (batch, channels, y, x), shape (batch,)."""
    exponents = exponents_for(min(estimate.shape[-2:]))
    product = torch.ones(len(estimate), dtype=estimate.dtype, device=estimate.device)
    for scale, exponent in enumerate(exponents):
        similarity, contrast = _similarity_of_scale(estimate, reference)
        # Luminance is compared on the coarsest scale alone; the finer ones compare contrast and structure.
        factor = similarity if scale == len(exponents) - 1 else contrast
        product = product * factor.clamp(min=MIN_SIMILARITY) ** exponent
        estimate, reference = functional.avg_pool2d(estimate, 2), functional.avg_pool2d(reference, 2)
    return product


def exponents_for(side: int) -> tuple[float, ...]:
    """Return the exponents of the scales on which a patch of this side (pixels) contains the window; their sum is 1.

    Raises:
        UserError: the patch is smaller than the window.
    """
    kept = [exponent for scale, exponent in enumerate(EXPONENTS) if side // 2**scale >= WINDOW_SIDE]
    if not kept:
        raise UserError(
            f"the loss term 'ms_ssim' requires patches of at least {WINDOW_SIDE} pixels, but these have {side}. "
            "Raise patch_lr or remove the term."
        )
    return tuple(exponent / sum(kept) for exponent in kept)


def _similarity_of_scale(estimate: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return structural similarity and its contrast and structure term, each of shape (batch,)."""
    result = structural_similarity_index_measure(
        estimate, reference, data_range=1.0, reduction="none", return_contrast_sensitivity=True
    )
    return result[0], result[1]
