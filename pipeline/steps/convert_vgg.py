"""Turn downloaded VGG weights into a feature network, by which the perceptual loss compares images."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.config.load import read_entry
from pipeline.config.sources import Source
from pipeline.models.conversion import feature_network
from pipeline.models.lpips_weights import calibration_of
from pipeline.models.vgg import save_vgg
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

logger = logging.getLogger(__name__)


def features(weights: Path, source: Source, output: Path) -> None:
    """Read the convolutions of a VGG and write them as safetensors.

    Args:
        weights: .onnx, .pth or .safetensors file.
        source: its entry in the table of sources, which tells the architecture.
        output: the feature network.

    Raises:
        UserError: the source describes no VGG, or the file does not fit its description.
    """
    vgg = feature_network(weights, source)
    save_vgg(output, vgg, calibration_of(vgg))
    logger.info("%s: %s, %d convolutions", source.title or weights.name, vgg.architecture, len(vgg.layers))


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--weights", "downloaded weights of VGG16 or VGG19 (.onnx, .pth or .safetensors)")
    add_path(parser, "--output", "the feature network (.safetensors)")
    parser.add_argument("--source", required=True, metavar="JSON", help="the weights' entry in the table of sources")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    features(arguments.weights, read_entry(Source, arguments.source, "source"), arguments.output)
