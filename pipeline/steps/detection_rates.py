"""Put inserted structures of all volumes into one table, and says how many every method shows, with intervals.

See pipeline/statistics/detection.py: what is drawn anew are subjects, slices and places, and methods are paired.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.load import read_section
from pipeline.config.sections import Evaluate
from pipeline.errors import UserError
from pipeline.fidelity.insertion.study import Detection, Place
from pipeline.statistics.detection import rate_table, with_intervals
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.tables.measurements import write_table

logger = logging.getLogger(__name__)

TEXT = ["volume", "subject", "split", "method", "kind", "unit"]


def read_rows(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table that the stage insert wrote.

    Args:
        path: one of its files.
        columns: those that it has.

    Raises:
        UserError: it is no such table.
    """
    # Names stay text: a subject may be called 007 or NA.
    types: Any = {name: "str" for name in TEXT if name in columns}
    numbers: Any = {name: [""] for name in columns if name not in TEXT}
    try:
        table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=numbers, float_precision="round_trip")
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} as inserted structures: {error}. Delete it and run again.") from error
    if list(table.columns) != list(columns):
        raise UserError(f"{path}: has the columns {list(table.columns)}, expected are {list(columns)}.")
    return table


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
        (read_rows(part, Detection._fields), read_rows(places, Place._fields))
        for part, places in zip(arguments.parts, arguments.places, strict=True)
    ]
    write_table(arguments.table, pd.concat([with_intervals(*pair, *drawn) for pair in volumes]))
    rates = rate_table(volumes, arguments.deliver, *drawn)
    write_table(arguments.rates, rates)
    logger.info("%d volumes with inserted structures", sum(len(pair[0]) > 0 for pair in volumes))
