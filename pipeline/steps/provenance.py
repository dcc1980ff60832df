"""Record code version, packages, configuration and data of a run, and the distances between blocks of one head."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from pipeline.formats.io.container import map_image
from pipeline.provenance.record import SourceRecord, VolumeRecord, make_provenance, read_config
from pipeline.sources.download_record import read_download
from pipeline.tables.duplicates import count_duplicates

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    config: str
    """The complete configuration, as JSON or a file."""
    sources: list[Path]
    """Records of the downloads (.source.json)."""
    volumes: list[Path]
    """Extracted volumes (.safetensors)."""
    duplicates: Path | None = None
    """Table of near-duplicates (.csv)."""
    snakemake: str | None = None
    """Version of Snakemake, if it is not installed in this environment."""
    output: Path
    """The record (.json)."""


def run(options: Options) -> None:
    """Write the record."""
    configuration = read_config(options.config)
    sources = [SourceRecord.of_download(read_download(path), configuration) for path in options.sources]
    volumes = [VolumeRecord.of_image(map_image(path)) for path in options.volumes]
    near_duplicates = count_duplicates(options.duplicates) if options.duplicates else []
    make_provenance(configuration, sources, volumes, near_duplicates, options.snakemake).write(options.output)
    logger.info("%d sources, %d volumes", len(sources), len(volumes))
