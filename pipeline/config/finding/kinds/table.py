"""Rows of a tab-separated table of volumes."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline import plugins
from pipeline.config.allowed import Place
from pipeline.config.datasets import TableDataset
from pipeline.config.finding.items import Item, Outcome, holds
from pipeline.config.mistakes import explain, shown
from pipeline.config.sources import S3_SCHEME, LocalSource, S3Source, Source
from pipeline.config.volumes import Volume

LARGEST_BYTES = 2**26
EMPTY = ("", "n/a")
"""Empty cells; the second is that of BIDS."""
SOURCE_COLUMNS = tuple(name for name in LocalSource.model_fields if name not in ("kind", "network", "features"))
COLUMNS = tuple(dict.fromkeys([*Volume.model_fields, *SOURCE_COLUMNS]))


def find(dataset: TableDataset, place: str, sources: Mapping[str, Source]) -> Outcome:
    """Find the volumes in the rows of a table; mistakes include line and column."""
    path = Path(dataset.file)
    try:
        reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter="\t", strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        hint = "a quotation mark in it may not be closed"
        return Outcome(mistakes=[f"{place}.file: {dataset.file}: cannot be split into cells ({error}); {hint}"])
    except ValueError as error:
        return Outcome(mistakes=[f"{place}.file: {shown(dataset.file)}: {error}"])
    if not rows or not any(rows[0][1]):
        return Outcome(mistakes=[f"{place}.file: {dataset.file}: is empty; its first line must name the columns"])
    columns = [name.strip() for name in rows[0][1]]
    mistakes = [f"{place}.file: {dataset.file}, line 1: {trouble}" for trouble in _header_troubles(columns)]
    if mistakes:
        return Outcome(mistakes=mistakes)
    filled = [(number, row) for number, row in rows[1:] if any(cell.strip() for cell in row)]
    if not filled:
        return Outcome(mistakes=[f"{place}.file: {dataset.file}: has no rows below the names of the columns"])
    uneven = [(number, len(row)) for number, row in filled if len(row) != len(columns)]
    mistakes = [f"{dataset.file}, line {n}: it has {count} columns, line 1 {len(columns)}" for n, count in uneven]
    incomplete = "the line that names it is incomplete, see the other mistakes"
    left_out = {cell.strip(): incomplete for n, row in filled if len(row) != len(columns) for cell in row}
    even = [(f"{dataset.file}, line {number}", row) for number, row in filled if len(row) == len(columns)]
    return Outcome(
        [_item(where, dict(zip(columns, row, strict=True)), sources) for where, row in even], mistakes, left_out
    )


def _text(path: Path) -> str:
    """Read a table; raises ValueError with a message for the user."""
    if holds(path.exists) and not holds(path.is_file):
        raise ValueError("is not a regular file")
    if not holds(path.is_file):
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise ValueError(f"there is no such file{where}")
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ValueError(f"larger than {LARGEST_BYTES} bytes; this is not a table of volumes")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError("is not text in UTF-8; save it as text with tabs, encoded as UTF-8") from error


def _header_troubles(columns: Sequence[str]) -> Iterator[str]:
    if len(columns) == 1 and any(mark in columns[0] for mark in ",;"):
        yield "there is one column only; separate columns by tabs, not by commas or semicolons"
        return
    for name, count in Counter(columns).items():
        if name not in COLUMNS:
            yield f"there is no column {name!r}; {plugins.suggest(name, COLUMNS)}"
        elif count > 1:
            yield f"the column {name!r} appears {count} times"
    for name in ("id", "subject"):
        if name not in columns:
            yield f"the column {name!r} is missing"
    if not {"path", "source"} & set(columns):
        yield "a column 'path' (a file on this machine, or s3://...) or 'source' (a name of `sources`) is missing"


def _item(where: str, row: Mapping[str, str], sources: Mapping[str, Source]) -> Item:
    """Return the item of a row."""
    cells = {name: cell.strip() for name, cell in row.items() if cell.strip() not in EMPTY}
    values = {name: _value(name, cell) for name, cell in cells.items() if name in Volume.model_fields}
    described = {name: cell for name, cell in cells.items() if name not in values}
    source, troubles = _source(values.pop("source", None), described, sources)
    mistakes = [f"{where}, column {trouble}" for trouble in troubles]
    return Item(where, source, {"id": "", "subject": "", **values}, mistakes)


def _value(name: str, cell: str) -> Any:
    """Parse a cell as the value of a key of a volume: JSON, such as [20, 120], or text."""
    place = Place.of_field(Volume.model_fields[name])
    if all(one.annotation is str for one in place.alternatives):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _source(
    name: Any, described: Mapping[str, str], sources: Mapping[str, Source]
) -> tuple[Source | str | None, list[str]]:
    """Return the source of a row, or its mistakes."""
    path = described.get("path")
    if (name is None) == (path is None):
        return None, ["path: give either path or source" + (", not both" if path else "")]
    if path is None:
        known = name in sources
        return name, [] if known else [f"source: {name!r} is unknown; {plugins.suggest(name, sources)}"]
    if path.startswith(S3_SCHEME):
        return _described_as(S3Source, "s3", described)
    if not holds(Path(path).exists):
        return None, [f"path: no such file: {shown(path)}"]
    return _described_as(LocalSource, "local", described)


def _described_as(
    model: type[LocalSource | S3Source], kind: str, described: Mapping[str, str]
) -> tuple[Source | None, list[str]]:
    try:
        return model.model_validate_json(json.dumps({"kind": kind, **described})), []
    except ValidationError as error:
        return None, explain(error, model)
