"""Answers of readers, validated against the key."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.errors import UserError
from pipeline.fidelity.reading.design import ANSWERS, RATING
from pipeline.fidelity.reading.key import Key
from pipeline.tables.reading_answers import READING_ANSWERS

logger = logging.getLogger(__name__)


def read_answers(paths: Sequence[Path], key: Key) -> pd.DataFrame:
    """Read the answers of readers and decode them with the key.

    Args:
        paths: files saved by the page, each with the answers of one or more readers.
        key: key of the study.

    Returns:
        One row per answer, ordered by reader and by the page: reader, item, question, case, repeats, first, second,
        rating (NaN for a choice) and chosen (the method; empty for a rating).

    Raises:
        UserError: a file is not a table of answers or belongs to another study, or an item is answered twice.
    """
    table = pd.concat([_read_file(path, key) for path in paths], ignore_index=True)
    doubled = table[table.duplicated(["reader", "item"])]
    if not doubled.empty:
        row = doubled.iloc[0]
        raise UserError(
            f"{row['file']}: reader {row['reader']!r} answered item {row['item']!r} twice. "
            "Give each file once, and give each reader a unique code."
        )
    places = {item.code: place for place, item in enumerate(key.items)}
    order = [places[item] for item in table["item"]]
    table = table.assign(place=order).sort_values(["reader", "place"], ignore_index=True)
    for reader, part in table.groupby("reader"):
        missing = len(key.items) - len(part)
        if missing:
            logger.warning("reader %s skipped %d of %d items", reader, missing, len(key.items))
    return table.drop(columns=["file", "place", "study", "answer"])


def _read_file(path: Path, key: Key) -> pd.DataFrame:
    table = READING_ANSWERS.read(path)
    if table.empty:
        raise UserError(f"{path}: contains no answers.")
    items = {item.code: item for item in key.items}
    decoded = [_decode(path, line, row, items, key.study) for line, row in enumerate(table.to_dict("records"), start=2)]
    return pd.concat([table[["study", "reader", "item", "question", "answer"]], pd.DataFrame(decoded)], axis=1)


def _decode(path: Path, line: int, row: dict, items: dict, study: str) -> dict[str, object]:
    """Decode one answer; raise on a mistake in it."""
    where = f"{path}, line {line}"
    if row["study"] != study:
        raise UserError(
            f"{where}: belongs to study {row['study']!r}, the key to {study!r}. Give the key of the same page."
        )
    if not row["reader"].strip():
        raise UserError(f"{where}: the reader is empty.")
    item = items.get(row["item"])
    if item is None:
        raise UserError(f"{where}: the key has no item {row['item']!r}. Was the file edited?")
    allowed = ANSWERS[item.question]
    if row["answer"] not in allowed:
        raise UserError(f"{where}: the answer {row['answer']!r} is not one of {', '.join(allowed)}.")
    rated = item.question == RATING
    chosen = "" if rated else (item.first if row["answer"] == allowed[0] else item.second)
    rating = float(row["answer"]) if rated else float("nan")
    shown = {"case": item.case, "repeats": item.repeats, "first": item.first, "second": item.second}
    return {"file": str(path), **shown, "rating": rating, "chosen": chosen}
