"""Turn downloaded weights into a one-channel network, the start of fine-tuning and the method `pretrained`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import get_args

from pipeline.config.load import read_entry
from pipeline.config.sources import Source
from pipeline.files import write_text
from pipeline.models.card import pretrained_card
from pipeline.models.conversion import one_channel_generator
from pipeline.models.generator import Along
from pipeline.models.weights import save_generator
from pipeline.steps._cli import ArgumentParser, Namespace, add_path
from pipeline.tables.history import write_history

logger = logging.getLogger(__name__)


def convert(weights: Path, source: Source, output: Path, factor: int, along: Along) -> None:
    """Read the weights of a source, folds them to one channel and write generator, model card and empty history.

    Where the source's network enlarges by another factor than the run's, its layers are taken over as far as they fit.

    Args:
        weights: .bin (ncnn), .pth or .safetensors file.
        source: its entry in the table of sources, which tells the network's shape.
        output: folder of the method.
        factor: by which slices are to be enlarged.
        along: axes of a slice that are to be enlarged.

    Raises:
        UserError: the source describes no network, or the file does not fit its description.
    """
    adapted = one_channel_generator(weights, source, factor, along)
    save_generator(output / "generator.safetensors", adapted)
    write_text(output / "model_card.md", pretrained_card(source, adapted))
    write_history(output / "history.csv", [])
    logger.info(
        "%s: %s of %d blocks, factor %d, folded to one channel",
        source.title or weights.name,
        adapted.shape.architecture,
        adapted.shape.blocks,
        factor,
    )


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--weights", "downloaded weights (.bin, .pth or .safetensors)")
    add_path(parser, "--output", "folder of the method: generator.safetensors, model_card.md, history.csv")
    parser.add_argument("--source", required=True, metavar="JSON", help="the weights' entry in the table of sources")
    parser.add_argument("--factor", type=int, default=4, help="by which slices are to be enlarged (default: 4)")
    text = "axes of a slice that are to be enlarged (default: both)"
    parser.add_argument("--along", choices=get_args(Along), default="both", help=text)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    source = read_entry(Source, arguments.source, "source")
    convert(arguments.weights, source, arguments.output, arguments.factor, arguments.along)
