"""Put all measurements into the tables: slices, volumes, the summary with intervals, and all paired comparisons."""

from __future__ import annotations

import logging

from pipeline.config.load import read_section
from pipeline.config.sections import Evaluate
from pipeline.statistics.comparisons import compare_all
from pipeline.statistics.measurements import read_parts, slices_of, volume_table
from pipeline.statistics.summary import summarise
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.tables.comparisons import COMPARISONS
from pipeline.tables.slices import SLICES
from pipeline.tables.summary import SUMMARY
from pipeline.tables.volumes import VOLUMES

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--parts", "measurements of all volumes (.csv)", many=True)
    add_path(parser, "--volumes", "value of every volume: of the whole, or the mean over its slices (.csv)")
    add_path(parser, "--slices", "all measurements of slices (.csv)")
    add_path(parser, "--summary", "means over volumes, intervals and comparison with the baseline (.csv)")
    add_path(parser, "--comparisons", "every network against every baseline (.csv)", required=False)
    text = "volumes whose slices are pictures without order, which are drawn one by one"
    parser.add_argument("--stacks", nargs="*", default=[], metavar="VOLUME", help=text)
    parser.add_argument("--seed", type=int, default=0, help="root of the bootstrap's random numbers")
    add_settings(parser, Evaluate)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = read_section(Evaluate, arguments.settings)
    rows = read_parts(arguments.parts)
    summary = summarise(rows, settings, arguments.seed, arguments.stacks)
    SLICES.write(arguments.slices, slices_of(rows))
    VOLUMES.write(arguments.volumes, volume_table(rows))
    SUMMARY.write(arguments.summary, summary)
    if arguments.comparisons:
        COMPARISONS.write(arguments.comparisons, compare_all(rows, settings, arguments.seed, arguments.stacks))
    logger.info("%d volumes, %d methods", rows["volume"].nunique(), rows["method"].nunique())
