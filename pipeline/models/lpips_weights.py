"""The calibrated weights of LPIPS (Zhang et al., CVPR 2018), which are part of the package torchmetrics."""

from __future__ import annotations

from importlib.resources import as_file, files

import torch
from torch import Tensor

from pipeline.models.normalisations import LPIPS
from pipeline.models.vgg import VggFeatures


def calibration_of(vgg: VggFeatures) -> dict[str, Tensor]:
    """Return the LPIPS weights of each block, shape (features,); empty for networks that they were not fitted to."""
    if (vgg.architecture, vgg.normalisation) != ("vgg16", "imagenet"):
        return {}
    with as_file(files("torchmetrics.functional.image.lpips_models") / "vgg.pth") as path:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return {f"{LPIPS}{block}": state[f"lin{block}.model.1.weight"].flatten().clone() for block in range(len(state))}
