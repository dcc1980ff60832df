"""LPIPS, version 0.1 with a VGG16 (Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018).

The metric requires the network that its authors calibrated, the VGG16 trained on ImageNet: torchvision's state dict, as
a source with `features: vgg16` that is named by `train.perceptual_weights`. The calibration is part of torchmetrics.
The VGG that BrainSR can download was fine-tuned on other pictures; use `vgg_distance` for it. The metric is not
independent of methods that were trained with the same features. It takes about one second per slice.
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
RANGE = "0 for identical features; rarely above 1"
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
    """Return LPIPS averaged over the mask.

    Over a whole slice whose sides are multiples of 16, this is the definition of the authors.

    Args:
        reference: slice of the reference, shape (rows, columns), normalised.
        estimate: the restored slice, of the same shape.
        mask: the region, of the same shape, not empty.
        data_range: full range of intensities; values outside it are clipped.
        features: the ImageNet VGG16 with the calibration.

    Raises:
        UserError: the features have no calibration, or the slice is too small for the network.
    """
    return float(np.mean(per_voxel(reference, estimate, data_range, features)[mask]))


def per_voxel(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], data_range: float, features: Features
) -> NDArray[np.float64]:
    """Return the map of calibrated feature distances; arguments and errors as in `per_slice`."""
    if not features.calibration:
        raise UserError(
            "the metric lpips requires the VGG16 trained on ImageNet. Add torchvision's weights file as a source "
            "(features: vgg16) and set train.perceptual_weights to this source, or use vgg_distance."
        )
    return vgg_distance.weighted_distance(reference, estimate, data_range, features, features.calibration)
