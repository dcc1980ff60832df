"""Put inserted structures of all volumes into one table, and says how many every method shows, with intervals.

See pipeline/statistics/detection.py: what is drawn anew are subjects, slices and places, and methods are paired.
"""

from __future__ import annotations

import logging

import pandas as pd

from pipeline.config.load import read_section
from pipeline.config.sections import Evaluate
from pipeline.errors import UserError
from pipeline.statistics.detection import rate_table, with_intervals
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.tables.detection_rates import DETECTION_RATES
from pipeline.tables.inserted_places import INSERTED_PLACES
from pipeline.tables.inserted_structures import DETECTION_COUNTS, INSERTED_STRUCTURES

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--parts", "inserted structures of single volumes (.csv)", many=True)
    add_path(parser, "--places", "their places, in the same order (.csv)", many=True)
    parser.add_argument("--deliver", required=True, metavar="METHOD", help="method with which the others are compared")
    add_path(parser, "--table", "inserted structures of all volumes, with intervals (.csv)")
    add_path(parser, "--rates", "the share that every method shows, and differences to what is delivered (.csv)")
    parser.add_argument("--seed", type=int, default=0, help="root of the bootstrap's random numbers")
    add_settings(parser, Evaluate)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = read_section(Evaluate, arguments.settings)
    if len(arguments.parts) != len(arguments.places):
        raise UserError("--parts and --places need as many files each, in the same order.")
    drawn = (settings.bootstrap_samples, settings.confidence, arguments.seed)
    volumes = [
        (DETECTION_COUNTS.read(part), INSERTED_PLACES.read(places))
        for part, places in zip(arguments.parts, arguments.places, strict=True)
    ]
    INSERTED_STRUCTURES.write(arguments.table, pd.concat([with_intervals(*pair, *drawn) for pair in volumes]))
    rates = rate_table(volumes, arguments.deliver, *drawn)
    DETECTION_RATES.write(arguments.rates, rates)
    logger.info("%d volumes with inserted structures", sum(len(pair[0]) > 0 for pair in volumes))
