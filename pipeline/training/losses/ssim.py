"""Structural similarity on the finest scale (Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13:600-612, 2004), as a loss.

Pixel losses answer doubt by blurring, which takes contrast from fine structure; this term asks for the contrast back.
The formula comes from torchmetrics. Where it stands in a recipe, SSIM is no independent judge of that recipe.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from pipeline.training.loss_inputs import Scene


def loss(estimate: Tensor, scene: Scene) -> Tensor:
    """Return 1 - SSIM, averaged over batch and pixels, with a data range of 1.

    Args:
        estimate: shape (batch, channels, y, x).
        scene: of the same batch.
    """
    # Variances are differences of nearly equal numbers, for which half precision is too coarse.
    with torch.autocast(estimate.device.type, enabled=False):
        similarity = structural_similarity_index_measure(estimate.float(), scene.reference.float(), data_range=1.0)
        assert isinstance(similarity, Tensor)
        return 1 - similarity
