"""Turns downloaded weights into a one-channel network, the start of fine-tuning and the method `pretrained`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from pipeline.cli import ArgumentParser, Namespace, add_path
from pipeline.config.load import read_entry
from pipeline.config.sources import Source
from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.models.card import pretrained_card
from pipeline.models.generator import Generator, Shape
from pipeline.models.weights import fold_to_one_channel, read_weights, save_generator
from pipeline.training.history import write_history

logger = logging.getLogger(__name__)


def convert(weights: Path, source: Source, output: Path) -> None:
    """Reads the weights of a source, folds them to one channel and writes generator, model card and empty history.

    Args:
        weights: .bin (ncnn), .pth or .safetensors file.
        source: its entry in the table of sources, which tells the network's shape.
        output: folder of the method.

    Raises:
        UserError: the source describes no network, or the file does not fit its description.
    """
    if source.network is None:
        raise UserError(f"{weights}: its source has no `network`, so the shape is unknown.")
    shape = Shape(**source.network.model_dump(exclude={"trained_on"}))
    state = read_weights(weights, Generator(shape).network)
    single = Generator(replace(shape, channels=1))
    single.network.load_state_dict(fold_to_one_channel(state))
    save_generator(output / "generator.safetensors", single)
    write_text(output / "model_card.md", pretrained_card(source, single))
    write_history(output / "history.csv", [])
    logger.info(
        "%s: %s of %d blocks, enlarges by %d, %d channel(s) folded to 1",
        source.title or weights.name,
        shape.architecture,
        shape.blocks,
        shape.factor,
        shape.channels,
    )


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options of this stage."""
    add_path(parser, "--weights", "downloaded weights (.bin, .pth or .safetensors)")
    add_path(parser, "--output", "folder of the method: generator.safetensors, model_card.md, history.csv")
    parser.add_argument("--source", required=True, metavar="JSON", help="the weights' entry in the table of sources")


def main(arguments: Namespace) -> None:
    """Runs the stage."""
    convert(arguments.weights, read_entry(Source, arguments.source, "source"), arguments.output)
