"""Values of metrics: from those of slices to those of volumes."""

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
    """Read the values of all volumes, those of slices and of volumes as a whole, sorted by all columns but the value.

    Raises:
        UserError: a file is no table of values, or two files contain the same volume.
    """
    rows = SLICES.read_all(paths).sort_values(SLICE_KEYS, ignore_index=True)
    doubled = sorted(set(rows.loc[rows.duplicated(SLICE_KEYS), "volume"]))
    if doubled:
        names = ", ".join(doubled)
        raise UserError(f"--parts: these volumes are measured twice: {names}. Give one file a volume.")
    return rows


def slices_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the values of single slices, without those of volumes as a whole."""
    return rows.loc[rows["slice"] != WHOLE_VOLUME].reset_index(drop=True)


def rows_to_average(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows from which the value of each volume is computed.

    That is the row of the volume as a whole where there is one, else those of all of its slices.
    """
    first: Any = rows.groupby(VOLUME_KEYS)["slice"].transform("min")
    return rows.loc[(rows["slice"] == WHOLE_VOLUME) | (first != WHOLE_VOLUME)].reset_index(drop=True)


def volume_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the value of every volume, method, region and metric: of the whole, or the mean over its slices."""
    means: Any = rows_to_average(rows).groupby(VOLUME_KEYS, sort=True)["value"].mean()
    return means.reset_index()
