"""Structural similarity on the finest scale (Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13:600-612, 2004), as a loss.

Pixel losses average over uncertain detail, which reduces the contrast of fine structures; this term penalises that. The
implementation is that of torchmetrics. SSIM is not an independent metric for networks trained with this term.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from pipeline.training.loss_inputs import LossInputs


def loss(estimate: Tensor, inputs: LossInputs) -> Tensor:
    """Return 1 - SSIM, averaged over batch and pixels, with a data range of 1.

    Args:
        estimate: shape (batch, channels, y, x).
        inputs: of the same batch.
    """
    # Variances are differences of nearly equal numbers, for which half precision is too coarse.
    with torch.autocast(estimate.device.type, enabled=False):
        similarity = structural_similarity_index_measure(estimate.float(), inputs.reference.float(), data_range=1.0)
        assert isinstance(similarity, Tensor)
        return 1 - similarity
