"""Synthesise an image from a label map, and store both; see pipeline.training.synthesis.extraction."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pipeline.config.sections import Extract
from pipeline.config.volumes import Volume
from pipeline.steps._framework import entry, section
from pipeline.training.synthesis.extraction import extract_label_map


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    input: Path
    """Label map, in any format of images."""
    output: Path
    """Extracted volume (.safetensors): the synthesised image and the labels."""
    volume: Annotated[Volume, entry(Volume, "volume")]
    """Entry of the volume in the configuration."""
    format: str | None = None
    """Format of the file (default: detected from its name or content)."""
    seed: int = 0
    """Seed of the run."""
    settings: Annotated[Extract, section(Extract)] = field(default_factory=Extract)
    """Section `extract` of the configuration."""


def run(options: Options) -> None:
    """Write the extracted volume.

    Raises:
        UserError: the format is unknown, or the file is no label map.
    """
    extract_label_map(options.input, options.output, options.volume, options.settings, options.seed, options.format)
