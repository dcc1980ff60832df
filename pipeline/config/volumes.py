"""Which volumes a run uses, whose they are, and what each may be used for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pipeline.config.base import Section

Split = Literal["train", "val", "test", "test_within_subject"]
EVALUATED_SPLITS: tuple[Split, ...] = ("test", "test_within_subject", "val")

Identifier = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100),
    "1 to 100 letters, digits, _ and -, beginning with a letter or digit",  # the pattern in words, for messages
]


class Volume(Section):
    """One volume, or one block of slices of it."""

    id: Identifier
    """names the volume's files and its report"""
    subject: Identifier
    """whose head it is; a subject belongs to one split"""
    split: Split
    """train: teaches; val: chooses settings; test: another subject; test_within_subject: a block kept apart"""
    source: str
    """a name of the table of known sources, or of `sources` below"""
    slices: Annotated[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] | None, Field()] = None
    """[start, stop) in slices of the chosen plane, counted in canonical RAS order; null takes all"""
