"""Tables of further examinations of a volume, shown where a run has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.reporting.fidelity_curves import draw_detection, draw_reliability
from pipeline.reporting.tables import distinct, read_table, records, where
from pipeline.reporting.titles import in_order, method_title

Drawings = list[dict[str, str]]
Lines = Mapping[str, tuple[str, str]]
"""Title and style of the methods that are drawn, by name."""


def detection_drawings(table: pd.DataFrame, methods: Lines) -> Drawings:
    """Draw how many of every kind and contrast of structure are found, against their size."""
    return [
        {
            "image": draw_detection(table, kind, float(contrast), methods),
            "text": f"Share of inserted structures found against their size: {kind}, contrast {float(contrast):.0%}",
        }
        for kind in distinct(table, "kind")
        for contrast in distinct(where(table, kind=kind), "contrast")
    ]


def reliability_drawings(table: pd.DataFrame, methods: Lines) -> Drawings:
    """Draw observed over predicted errors, for every method that tells how uncertain it is."""
    return [
        {
            "image": draw_reliability(where(table, method=method), method_title(method)),
            "text": f"Observed over predicted error of {method_title(method)}, bin by bin",
        }
        for method in distinct(table, "method")
        if method in methods
    ]


@dataclass(frozen=True)
class Kind:
    """One kind of table.

    Attributes:
        title: as a reader sees it.
        note: what it shows, and what it does not.
        columns: heading by column of the file, after the method.
        draw: draws it; None where the table says all.
    """

    title: str
    note: str
    columns: Mapping[str, str]
    draw: Callable[[pd.DataFrame, Lines], Drawings] | None = None


KINDS: Mapping[str, Kind] = {
    "inserted": Kind(
        "Inserted structures",
        "Small structures were put into the reference before it was degraded. A method that finds none of a "
        "size removes "
        "real ones of that size; a false alarm is a structure that nobody inserted.",
        {
            "kind": "Structure",
            "size_voxels": "Size (voxels)",
            "contrast": "Contrast",
            "inserted": "Insertion",
            "detected": "Found",
            "false_alarms": "False alarms",
        },
        detection_drawings,
    ),
    "tissue": Kind(
        "Tissue volumes",
        "The same segmentation of the reference and of each result.",
        {"tissue": "Tissue", "reference_ml": "Reference (ml)", "method_ml": "Result (ml)", "dice": "Dice overlap"},
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
        reliability_drawings,
    ),
}


@dataclass(frozen=True)
class Extra:
    """One table as a reader sees it: rows of text, the method first, and drawings of it."""

    name: str
    title: str
    note: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    drawings: Drawings


def read_extra(name: str, paths: Sequence[Path], volume: str, deliver: str, methods: Lines) -> Extra | None:
    """Read a volume's rows of a table of `KINDS`; None where there are none.

    Args:
        name: of the kind.
        paths: the tables, of this volume or of several.
        volume: its id.
        deliver: method of the deliverable, which comes last.
        methods: what is drawn.

    Raises:
        UserError: a file is no such table.
    """
    kind = KINDS[name]
    needed = ("volume", "method", *kind.columns)
    tables = [where(read_table(path, needed), volume=volume) for path in paths]
    rows = [row for table in tables for row in records(table)]
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
        [] if kind.draw is None else kind.draw(pd.concat(tables), methods),
    )


def as_text(value: Any) -> str:
    """Write a value of a table with four digits."""
    if pd.isna(value):
        return "n/a"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
