"""Answers of readers, as the page of a reader study saves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class ReadingAnswer:
    """The answer of one reader to one item."""

    study: Annotated[str, Column("identifier of the study")]
    reader: Annotated[str, Column("code of the reader")]
    item: Annotated[str, Column("code of the item")]
    question: Annotated[str, Column("rating or choice")]
    answer: Annotated[str, Column("1 to 5, or A or B")]
    seconds: Annotated[str, Column("time to answer", "s")]


READING_ANSWERS = Table("readers' answers", ReadingAnswer, advice="Give the file that the page saved, unchanged.")
