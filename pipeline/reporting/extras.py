"""Tables of further examinations of a volume, shown where a run has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.reporting.methods import in_order, method_title
from pipeline.reporting.tables import read_table, records, where


@dataclass(frozen=True)
class Kind:
    """One kind of table.

    Attributes:
        title: as a reader sees it.
        note: what it shows, and what it does not.
        columns: heading by column of the file, after the method.
    """

    title: str
    note: str
    columns: Mapping[str, str]


KINDS: Mapping[str, Kind] = {
    "planted": Kind(
        "Planted structures",
        "Small structures were put into the truth before it was degraded. A method that finds none of a size removes "
        "real ones of that size; a false alarm is a structure that nobody planted.",
        {
            "kind": "Structure",
            "size_voxels": "Size (voxels)",
            "contrast": "Contrast",
            "planted": "Planted",
            "detected": "Found",
            "false_alarms": "False alarms",
        },
    ),
    "tissue": Kind(
        "Tissue volumes",
        "The same segmentation of the truth and of each result.",
        {"tissue": "Tissue", "truth_ml": "Truth (ml)", "method_ml": "Result (ml)", "dice": "Dice overlap"},
    ),
    "reliability": Kind(
        "Does the uncertainty tell the error?",
        "Voxels were sorted by how much eight views of the measurement disagree. Where predicted and observed error "
        "grow together, the map of the disagreement can be trusted to point at errors.",
        {
            "bin": "Bin",
            "predicted": "Predicted error",
            "observed": "Observed error",
            "voxels": "Voxels",
        },
    ),
}


@dataclass(frozen=True)
class Extra:
    """One table as a reader sees it: rows of text, the method first."""

    name: str
    title: str
    note: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def read_extra(name: str, paths: Sequence[Path], volume: str, deliver: str) -> Extra | None:
    """Reads a volume's rows of a table of `KINDS`; None where there are none.

    Raises:
        UserError: a file is no such table.
    """
    kind = KINDS[name]
    needed = ("volume", "method", *kind.columns)
    rows = [row for path in paths for row in records(where(read_table(path, needed), volume=volume))]
    if not rows:
        return None
    order = in_order({row["method"] for row in rows}, deliver)
    rows.sort(key=lambda row: order.index(row["method"]))
    return Extra(
        name,
        kind.title,
        kind.note,
        ("Method", *kind.columns.values()),
        tuple((method_title(row["method"]), *(as_text(row[column]) for column in kind.columns)) for row in rows),
    )


def as_text(value: Any) -> str:
    """Writes a value of a table with four digits."""
    if pd.isna(value):
        return "n/a"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
