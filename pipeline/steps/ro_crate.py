"""Describe the folder of a run as an RO-Crate, with checksums, licences and the software that made the results.

The configuration is written to config.json beside it, ready for `snakemake --configfile`.
"""

from __future__ import annotations

from pipeline.provenance.crate import write_crate
from pipeline.steps._cli import ArgumentParser, Namespace, add_path


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this step."""
    add_path(parser, "--run", "folder of the run's results")
    add_path(parser, "--config", "the run's configuration, written into that folder (.json)")
    add_path(parser, "--output", "the description, written into that folder (ro-crate-metadata.json)")


def main(arguments: Namespace) -> None:
    """Run the step."""
    write_crate(arguments.run, arguments.config, arguments.output)
