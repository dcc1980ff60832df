"""Distance in the features of a VGG (Johnson, Alahi and Fei-Fei, ECCV 2016; Ledig et al., CVPR 2017)."""

from __future__ import annotations

from torch import Tensor

from pipeline.training.loss_inputs import LossInputs


def loss(estimate: Tensor, inputs: LossInputs) -> Tensor:
    """Return the distance of the estimate (batch, 1 or 3, y, x), intensities within [0, 1], and the reference.

    Raises:
        ValueError: the inputs have no perceptual distance.
    """
    if inputs.perceptual is None:
        raise ValueError("the loss term 'perceptual' requires the features of a VGG")
    return inputs.perceptual.distance(estimate, inputs.reference)
