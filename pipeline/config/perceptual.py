"""Settings of the perceptual distance."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline import plugins
from pipeline.config.base import Section

CONVOLUTIONS = (2, 2, 4, 4, 4)
"""Of VGG19, by block (Simonyan and Zisserman, ICLR 2015)."""

LAYERS = tuple(f"conv{block}_{each + 1}" for block, count in enumerate(CONVOLUTIONS, start=1) for each in range(count))
"""Names of VGG19's convolutions: conv1_1 ... conv5_4."""


def _check_layer(name: str) -> str:
    if name not in LAYERS:
        raise ValueError(f"unknown layer; {plugins.suggest(name, LAYERS)}")
    return name


LayerName = Annotated[str, AfterValidator(_check_layer)]


class Perceptual(Section):
    """Features of a VGG in which images are compared."""

    layers: dict[LayerName, Annotated[float, Field(ge=0)]] = Field(default={"conv5_4": 1.0}, min_length=1)
    """layers of VGG19 and their weights; for a VGG16, whose blocks 3 to 5 have three convolutions, conv3_4, conv4_4 and
    conv5_4 refer to conv3_3, conv4_3 and conv5_3"""
    activation: Literal["before", "after"] = "before"
    """compare the features before the ReLU, as in ESRGAN, or after it, as in SRGAN"""
    criterion: Literal["l1", "mse"] = "l1"
    """distance between features: mean absolute or mean squared difference"""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """factor by which features are multiplied (SRGAN: 1 / 12.75 after the ReLU)"""
