"""Put the volumes of tissue of a run into one table, and says how far each method agrees with the reference.

The blocks of one subject count once, by the mean of their differences: they are not independent of each other.
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
from pipeline.statistics.bland_altman import bland_altman
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.steps.tissue import COLUMNS
from pipeline.tables.measurements import write_table

logger = logging.getLogger(__name__)

KEYS = ["split", "method", "tissue"]
AGREEMENT_COLUMNS = [
    *(*KEYS, "n", "bias_ml", "bias_ci_low", "bias_ci_high"),
    *("loa_low_ml", "loa_high_ml"),
]


def read_tissue(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the tables of the stage tissue into one.

    Raises:
        UserError: a file is no such table.
    """
    parts = []
    for path in paths:
        types: Any = dict.fromkeys(COLUMNS[:5], "str") | dict.fromkeys(COLUMNS[5:], "float64")
        try:
            part = pd.read_csv(path, dtype=types, keep_default_na=False, na_values={"dice": [""]})
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {path} as volumes of tissue: {error}. Delete it and run again.") from error
        if list(part.columns) != COLUMNS:
            raise UserError(f"{path}: has the columns {list(part.columns)}, expected are {COLUMNS}.")
        parts.append(part)
    return pd.concat(parts).sort_values(COLUMNS[:4], kind="stable", ignore_index=True)


def agreement_table(tissue: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return bias and limits of agreement of every split, method and class, with AGREEMENT_COLUMNS.

    Args:
        tissue: what `read_tissue` gives.
        confidence: coverage of the interval of the bias.
    """
    rows = []
    differences = tissue.assign(difference=tissue["method_ml"] - tissue["reference_ml"])
    by_subject: Any = differences.groupby([*KEYS, "subject"], sort=True)["difference"].mean()
    for key, values in by_subject.groupby(level=KEYS, sort=True):
        found = bland_altman(values.to_numpy(), confidence)
        rows.append((*key, found.n, found.bias, found.bias_low, found.bias_high, found.limit_low, found.limit_high))
    return pd.DataFrame(rows, columns=pd.Index(AGREEMENT_COLUMNS))


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--parts", "volumes of tissue of all volumes (.csv)", many=True)
    add_path(parser, "--tissue", "all of them in one table (.csv)")
    add_path(parser, "--agreement", "bias and limits of agreement (.csv)")
    add_settings(parser, Evaluate)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    tissue = read_tissue(arguments.parts)
    write_table(arguments.tissue, tissue)
    write_table(arguments.agreement, agreement_table(tissue, read_section(Evaluate, arguments.settings).confidence))
    logger.info("%d volumes have volumes of tissue", tissue["volume"].nunique())
