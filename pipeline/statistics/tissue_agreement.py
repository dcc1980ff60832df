"""Agreement of tissue volumes with the reference.

The blocks of a subject count once, by the mean of their differences: they are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.statistics.bland_altman import bland_altman
from pipeline.tables.tissue import TISSUE
from pipeline.tables.tissue_agreement import TISSUE_AGREEMENT

KEYS = ["split", "method", "tissue"]


def read_tissue(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the tables of the step tissue into one.

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
