"""Distance in the features of a VGG (Johnson, Alahi and Fei-Fei, ECCV 2016; Ledig et al., CVPR 2017)."""

from __future__ import annotations

from torch import Tensor

from pipeline.training.loss_inputs import Scene


def loss(estimate: Tensor, scene: Scene) -> Tensor:
    """Return the distance of the estimate (batch, 1 or 3, y, x), intensities within [0, 1], and the reference.

    Raises:
        ValueError: the scene has no VGG; whoever trains with this term must give it one.
    """
    if scene.perceptual is None:
        raise ValueError("the loss term 'perceptual' needs a scene with a perceptual distance, which holds the VGG")
    return scene.perceptual.distance(estimate, scene.reference)
