"""The table of near-duplicates: pictures and slices that stand in two splits, one row a pair."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import UserError
from pipeline.files import write_text


class Duplicate(NamedTuple):
    """One row of the table: a picture or slice of a later split, and the one that it resembles."""

    picture: str
    split: str
    volume: str
    near_duplicate_of: str
    near_duplicate_split: str
    near_duplicate_volume: str
    distance: int


def write_duplicates(path: Path, rows: Sequence[Duplicate]) -> None:
    """Write the table as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Duplicate._fields)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_left_out(path: Path, volume: str) -> set[str]:
    """Read from the table which pictures of a stack are to be left out; errors as `read_rows`."""
    return {row["picture"] for row in read_rows(path) if row["volume"] == volume}


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the table.

    Raises:
        UserError: the file cannot be read, or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}. Delete it and run again.") from error
    if tuple(reader.fieldnames or ()) != Duplicate._fields:
        raise UserError(f"{path}: is no table of near-duplicates; delete it and run again.")
    return rows


def counted(path: Path) -> list[dict[str, Any]]:
    """Read from the table how many pictures or slices each two volumes have in common; errors as `read_rows`."""
    names = ("volume", "split", "near_duplicate_volume", "near_duplicate_split")
    pairs: dict[tuple[str, ...], set[str]] = {}
    for row in read_rows(path):
        pairs.setdefault(tuple(row[name] for name in names), set()).add(row["picture"])
    return [{**dict(zip(names, key, strict=True)), "pictures": len(found)} for key, found in sorted(pairs.items())]
