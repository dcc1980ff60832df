"""Locally discriminative learning: an L1 loss where the residual looks like an artifact rather than a missing detail.

Liang, Zeng and Zhang, "Details or artifacts: a locally discriminative learning approach to realistic image
super-resolution", CVPR 2022. The artifact map is the product of

- the variance of the residual in the 7 x 7 neighbourhood of each pixel, reflected at the edges, and
- the variance of the residual over the whole patch, to the power of 1/5.

It is zero where the residual of the network is smaller than that of the network with averaged weights, since training
has improved the result there.

In the paper the residual is the absolute difference summed over three colours. Here it is three times its mean over the
channels: the same sum for three channels, and for one grey channel the value of three equal channels. Gradients also
pass through the map, as in the code of the authors, to which their published weight of this term applies.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.training.loss_inputs import LossInputs

WINDOW = 7
"""Side of the neighbourhood in the paper, in pixels."""

PATCH_EXPONENT = 1 / 5
"""Exponent of the variance over the patch in the paper."""

MIN_VARIANCE = 1e-12
"""Lower bound of the patch variance: at zero, its fifth root would have an infinite gradient."""


def loss(estimate: Tensor, inputs: LossInputs) -> Tensor:
    """Return the mean of the artifact map times the absolute difference of estimate and reference.

    Args:
        estimate: shape (batch, channels, y, x), at least 4 x 4 pixels.
        inputs: of the same batch; its averaged network is evaluated.
    """
    weight = artifact_map(estimate, inputs.reference, inputs.averaged())
    return (weight * (estimate - inputs.reference).abs()).mean()


def artifact_map(estimate: Tensor, reference: Tensor, averaged: Tensor) -> Tensor:
    """Return the refined map of artifacts, shape (batch, 1, y, x), from three tensors (batch, channels, y, x)."""
    residual = _residual(estimate, reference)
    of_patch = residual.var(dim=(1, 2, 3), keepdim=True).clamp(min=MIN_VARIANCE) ** PATCH_EXPONENT
    keeps = residual >= _residual(averaged, reference)
    return torch.where(keeps, of_patch * _local_variance(residual), 0)


def _residual(estimate: Tensor, reference: Tensor) -> Tensor:
    return 3 * (estimate - reference).abs().mean(dim=1, keepdim=True)


def _local_variance(residual: Tensor) -> Tensor:
    padded = functional.pad(residual, [WINDOW // 2] * 4, mode="reflect")
    return padded.unfold(2, WINDOW, 1).unfold(3, WINDOW, 1).var(dim=(-1, -2))
