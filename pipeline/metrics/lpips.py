"""LPIPS, version 0.1 with a VGG16 (Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018).

It needs what its authors calibrated it with, the VGG16 trained on ImageNet: torchvision's state dict, as a source with
`features: vgg16` that `train.perceptual_weights` names. The calibration itself comes with torchmetrics. The VGG that
BrainSR can fetch was trained further on other pictures; for it there is `vgg_distance`. Of methods that were trained
with the same features, this measure is no independent judge. It takes a second or so a slice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.metrics import vgg_distance
from pipeline.metrics._features import Features

TITLE = "LPIPS"
UNIT = ""
HIGHER_IS_BETTER = False
PERFECT = 0.0
RANGE = "0 for images that look the same to the network; seldom above 1"
SOURCE = "Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018"
DECIMALS = 4
NEEDS_FEATURES = True


def per_slice(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    features: Features,
) -> float:
    """Return LPIPS, averaged over the mask: over a whole slice whose sides 16 divides, it is what the authors define.

    Args:
        reference: slice of the reference, shape (rows, columns), normalised.
        estimate: the same slice as a method restored it.
        mask: the region, same shape, not empty.
        data_range: intensity that counts as the full range; what lies outside is cut off.
        features: of the ImageNet VGG16, with the calibration.

    Raises:
        UserError: these are other features, or the slice is too small for the network.
    """
    return float(np.mean(per_voxel(reference, estimate, data_range, features)[mask]))


def per_voxel(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], data_range: float, features: Features
) -> NDArray[np.float64]:
    """Return the calibrated distances of features; arguments and errors as of `per_slice`."""
    if not features.calibration:
        raise UserError(
            "the metric lpips needs the VGG16 that was trained on ImageNet. Name torchvision's file of weights as a "
            "source (features: vgg16) and that source as train.perceptual_weights; or measure vgg_distance."
        )
    return vgg_distance.apart(reference, estimate, data_range, features, features.calibration)
