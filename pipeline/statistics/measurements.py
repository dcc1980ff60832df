"""Aggregation of metric values from slices to volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import UserError
from pipeline.tables.slices import SLICES, WHOLE_VOLUME
from pipeline.tables.volumes import VOLUMES

SLICE_KEYS = [name for name in SLICES.columns if name != "value"]
VOLUME_KEYS = [name for name in VOLUMES.columns if name != "value"]


def read_parts(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the metric values of slices and whole volumes from several files, sorted by all columns but the value.

    Raises:
        UserError: a file does not contain a table of values, or two files contain the same volume.
    """
    rows = SLICES.read_all(paths).sort_values(SLICE_KEYS, ignore_index=True)
    doubled = sorted(set(rows.loc[rows.duplicated(SLICE_KEYS), "volume"]))
    if doubled:
        names = ", ".join(doubled)
        raise UserError(f"--parts: these volumes occur twice: {names}. Pass one file per volume.")
    return rows


def slices_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the values of slices, without those of whole volumes."""
    return rows.loc[rows["slice"] != WHOLE_VOLUME].reset_index(drop=True)


def rows_to_average(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose mean is the value of a volume: that of the whole volume if present, else its slices."""
    first: Any = rows.groupby(VOLUME_KEYS)["slice"].transform("min")
    return rows.loc[(rows["slice"] == WHOLE_VOLUME) | (first != WHOLE_VOLUME)].reset_index(drop=True)


def volume_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the value of every volume, method, region and metric: of the whole volume, or the mean over slices."""
    means: Any = rows_to_average(rows).groupby(VOLUME_KEYS, sort=True)["value"].mean()
    return means.reset_index()
