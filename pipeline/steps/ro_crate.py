"""Describe a run's folder as an RO-Crate: software, input data, licences and checksums.

The configuration is written to config.json in that folder, for `snakemake --configfile`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.provenance.crate import write_crate


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    run: Path
    """Folder of the run's results."""
    config: Path
    """The run's configuration, written into that folder (.json)."""
    output: Path
    """The description, written into that folder (ro-crate-metadata.json)."""


def run(options: Options) -> None:
    """Write the RO-Crate and the configuration."""
    write_crate(options.run, options.config, options.output)
