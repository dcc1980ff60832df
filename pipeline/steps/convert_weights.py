"""Convert downloaded weights to a one-channel network, used as the initial network and as the method `pretrained`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.config.sources import Source
from pipeline.files import write_text
from pipeline.models.card import pretrained_card
from pipeline.models.conversion import one_channel_generator
from pipeline.models.generator import Along
from pipeline.models.weights import save_generator
from pipeline.steps._framework import entry
from pipeline.tables.history import write_history

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    weights: Path
    """Downloaded weights (.bin, .pth or .safetensors)."""
    source: Annotated[Source, entry(Source, "source")]
    """Entry of the weights in the table of sources, with the architecture of the network."""
    factor: int = 4
    """Factor by which slices are enlarged."""
    along: Along = "both"
    """Axes of a slice that are enlarged."""
    output: Path
    """Folder of the method: generator.safetensors, model_card.md, history.csv."""


def run(options: Options) -> None:
    """Write generator, model card and an empty history.

    Raises:
        UserError: the source describes no network, or the file does not match its description.
    """
    source, output = options.source, options.output
    adapted = one_channel_generator(options.weights, source, options.factor, options.along)
    save_generator(output / "generator.safetensors", adapted)
    write_text(output / "model_card.md", pretrained_card(source, adapted))
    write_history(output / "history.csv", [])
    logger.info(
        "%s: %s of %d blocks, factor %d, converted to one channel",
        source.title or options.weights.name,
        adapted.shape.architecture,
        adapted.shape.blocks,
        options.factor,
    )
