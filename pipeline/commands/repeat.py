"""Prepare a folder in which a run is repeated from its provenance, and says what has changed since.

The folder gets the run's configuration and links to the files that it names and to the downloads. Nothing is checked
out and nothing is installed. Then run, with the same Snakefile,

    snakemake --directory FOLDER --configfile FOLDER/config.json --cores all

and compare with `python -m pipeline compare_runs`; `make reproduce RUN=results/demo` does all three.
"""

from __future__ import annotations

import logging

from pipeline.provenance.record import read_record
from pipeline.provenance.reproduction import changes_since, prepare_folder
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--run", "folder of a run's results, such as results/demo")
    add_path(parser, "--into", "where it is to be repeated: a new folder")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    record = read_record(arguments.run)
    prepare_folder(arguments.run, arguments.into)
    changed = changes_since(record)
    for difference in changed:
        logger.warning("not as it was: %s", difference)
    if not changed:
        logger.info("code, packages and machine are those of the run")
    logger.info("ready to repeat %s in %s", record["config"]["run"], arguments.into)
