"""The tables of measurements: slices, volumes, and the file they are read from and written to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.metrics import WHOLE_VOLUME

VOLUME_KEYS = ["volume", "subject", "split", "method", "region", "metric"]
SLICE_KEYS = [*VOLUME_KEYS, "slice"]
SLICE_COLUMNS = [*SLICE_KEYS, "value"]


def read_parts(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the measurements of all volumes, slices and wholes, into one table, in an order of its own.

    Raises:
        UserError: a file is no table of measurements, or two measure the same.
    """
    slices = pd.concat([_read_part(path) for path in paths])
    slices = slices.sort_values(SLICE_KEYS, ignore_index=True)
    doubled = sorted(set(slices.loc[slices.duplicated(SLICE_KEYS), "volume"]))
    if doubled:
        names = ", ".join(doubled)
        raise UserError(f"--parts: these volumes are measured twice: {names}. Give one file a volume.")
    return slices


def _read_part(path: Path) -> pd.DataFrame:
    # Names stay text: a subject may be called 007 or NA.
    types: Any = {**dict.fromkeys(VOLUME_KEYS, "str"), "slice": "int64", "value": "float64"}
    try:
        part = pd.read_csv(path, dtype=types, keep_default_na=False, float_precision="round_trip")
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} as measurements: {error}. Delete it and run again.") from error
    if list(part.columns) != SLICE_COLUMNS:
        raise UserError(f"{path}: has the columns {list(part.columns)}, expected are {SLICE_COLUMNS}.")
    return part


def slices_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the measurements of single slices, without those of volumes as a whole."""
    return rows.loc[rows["slice"] != WHOLE_VOLUME].reset_index(drop=True)


def deciding(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the measurements that make up the value of a volume.

    Where it was measured as a whole, that measurement alone, whatever its slices are; else all of its slices.
    """
    first: Any = rows.groupby(VOLUME_KEYS)["slice"].transform("min")
    return rows.loc[(rows["slice"] == WHOLE_VOLUME) | (first != WHOLE_VOLUME)].reset_index(drop=True)


def volume_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the value of every volume, method, region and metric: of the whole, or the mean over its slices."""
    means: Any = deciding(rows).groupby(VOLUME_KEYS, sort=True)["value"].mean()
    return means.reset_index()


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV with nine significant digits, whole or not at all; what is not known stays empty."""
    write_text(path, table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
