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
from pipeline.statistics.bland_altman import bland_altman
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.tables.tissue import TISSUE
from pipeline.tables.tissue_agreement import TISSUE_AGREEMENT

logger = logging.getLogger(__name__)

KEYS = ["split", "method", "tissue"]


def read_tissue(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the tables of the stage tissue into one.

    Raises:
        UserError: a file is no such table.
    """
    keys = ["volume", "subject", "split", "method"]
    return TISSUE.read_all(paths).sort_values(keys, kind="stable", ignore_index=True)


def agreement_table(tissue: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return bias and limits of agreement of every split, method and class, see `TissueAgreement`.

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
    return pd.DataFrame(rows, columns=pd.Index(TISSUE_AGREEMENT.columns))


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
        arguments.agreement, agreement_table(tissue, read_section(Evaluate, arguments.settings).confidence)
    )
    logger.info("%d volumes have volumes of tissue", tissue["volume"].nunique())
