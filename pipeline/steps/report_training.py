"""Write the page over the trainings: curves, what the sentinel noticed, excerpts over time, the fidelity dial."""

from __future__ import annotations

import logging

from pipeline.config.load import read_section
from pipeline.config.sections import Report
from pipeline.files import read_json, write_text
from pipeline.reporting.training_inputs import read_training
from pipeline.reporting.training_page import training_page
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(
        parser,
        "--models",
        "folders of the networks, with model_card.md and history.csv; of trained ones also events.csv and "
        "samples.safetensors, and dial.csv where there is a fidelity dial",
        many=True,
    )
    add_path(parser, "--provenance", "what made the results (provenance.json)")
    add_path(parser, "--output", "the page (.html)")
    add_settings(parser, Report)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    trainings = [read_training(folder) for folder in arguments.models]
    settings = read_section(Report, arguments.settings)
    page = training_page(trainings, read_json(arguments.provenance), settings)
    write_text(arguments.output, page)
    logger.info("%s: %.1f MB", arguments.output, len(page) / 1e6)
