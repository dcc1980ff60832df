"""Put the volumes of tissue of a run into one table, and says how far each method agrees with the reference.

The blocks of one subject count once, by the mean of their differences: they are not independent of each other.
"""

from __future__ import annotations

import logging

from pipeline.config.load import read_section
from pipeline.config.sections import Evaluate
from pipeline.fidelity.tissue import read_tissue, tissue_agreement
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.tables.tissue import TISSUE
from pipeline.tables.tissue_agreement import TISSUE_AGREEMENT

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--parts", "volumes of tissue of all volumes (.csv)", many=True)
    add_path(parser, "--tissue", "all of them in one table (.csv)")
    add_path(parser, "--agreement", "bias and limits of agreement (.csv)")
    add_settings(parser, Evaluate)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    tissue = read_tissue(arguments.parts)
    TISSUE.write(arguments.tissue, tissue)
    TISSUE_AGREEMENT.write(
        arguments.agreement, tissue_agreement(tissue, read_section(Evaluate, arguments.settings).confidence)
    )
    logger.info("%d volumes have volumes of tissue", tissue["volume"].nunique())
