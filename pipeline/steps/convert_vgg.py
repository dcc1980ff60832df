"""Convert downloaded VGG weights to the feature network of the perceptual loss."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.config.sources import Source
from pipeline.models.conversion import feature_network
from pipeline.models.lpips_weights import calibration_of
from pipeline.models.vgg import save_vgg
from pipeline.steps._framework import entry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    weights: Path
    """Downloaded weights of VGG16 or VGG19 (.onnx, .pth or .safetensors)."""
    source: Annotated[Source, entry(Source, "source")]
    """Entry of the weights in the table of sources, with the architecture of the network."""
    output: Path
    """The feature network (.safetensors)."""


def run(options: Options) -> None:
    """Write the convolutions of the VGG.

    Raises:
        UserError: the source describes no VGG, or the file does not match its description.
    """
    vgg = feature_network(options.weights, options.source)
    save_vgg(options.output, vgg, calibration_of(vgg))
    name = options.source.title or options.weights.name
    logger.info("%s: %s, %d convolutions", name, vgg.architecture, len(vgg.layers))
