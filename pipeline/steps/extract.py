"""Extract a volume: read its file, select its block of slices and normalise it; see pipeline.formats.io.extraction."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pipeline import plugins
from pipeline.config.sections import Extract
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.formats import ROOM
from pipeline.formats.io.extraction import extract
from pipeline.steps._framework import entry, section
from pipeline.tables.duplicates import excluded_pictures


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    input: Path
    """File of the volume, or an archive of pictures or DICOM files (.zip)."""
    output: Path
    """Extracted volume (.safetensors)."""
    volume: Annotated[Volume, entry(Volume, "volume")]
    """Entry of the volume in the configuration."""
    format: str | None = None
    """Format of the file (default: detected from its name or content)."""
    segmentation: Path | None = None
    """Label volume on the grid of the volume; each of its labels becomes a mask."""
    sidecars: list[Path] = field(default_factory=list)
    """BIDS sidecars of the volume (.json), from which the slice thickness is read; later ones take precedence."""
    duplicates: Path | None = None
    """Table of near-duplicate pictures to exclude (.csv, from the step duplicates)."""
    settings: Annotated[Extract, section(Extract)] = field(default_factory=Extract)
    """Section `extract` of the configuration."""


def run(options: Options) -> None:
    """Write the extracted volume.

    Raises:
        UserError: the format is unknown, or the volume cannot be extracted.
    """
    volume, formats = options.volume, plugins.names(ROOM)
    if options.format is not None and options.format not in formats:
        raise UserError(f"--format: {options.format!r} is unknown; choose from {', '.join(formats)}.")
    near_duplicates = excluded_pictures(options.duplicates, volume.id) if options.duplicates else ()
    extract(
        options.input,
        volume,
        options.settings,
        options.output,
        near_duplicates,
        options.format,
        options.segmentation,
        list(map(str, options.sidecars)),
    )
