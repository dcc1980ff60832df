"""Items of data sets, before they become volumes of the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pipeline.config.sources import Source

ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,5}")
"""Suffix of a file name, such as .nii or .gz."""
MAX_SHOWN = 40
"""Maximum number of mistakes of one data set that are listed."""


@dataclass(frozen=True)
class Item:
    """A volume of a data set.

    Attributes:
        where: the line, file or member that it comes from, for messages.
        source: what it is read from: a source of its own, or the name of one of the configuration; None where there
            is something wrong with it.
        values: keys of the volume, with at least `id` and `subject`; `split` may be among them.
        mistakes: what is wrong with it as far as is known yet.
    """

    where: str
    source: Source | str | None
    values: Mapping[str, Any]
    mistakes: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """Items and mistakes of a data set.

    Attributes:
        items: its volumes.
        mistakes: what is wrong, one line each.
        left_out: why subjects have no volume, by subject, where they were left out for a reason.
        notes: what is not wrong but should be known, one line each.
    """

    items: list[Item] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def shortened(mistakes: list[str]) -> list[str]:
    """Return the mistakes, truncated to `MAX_SHOWN`."""
    rest = len(mistakes) - MAX_SHOWN
    return mistakes if rest <= 1 else [*mistakes[:MAX_SHOWN], f"and {rest} more mistakes like these"]


def holds(check: Callable[[], bool]) -> bool:
    """Return the result of a check of a path, such as Path.is_file; False for invalid names."""
    try:
        return check()
    except (OSError, ValueError):
        return False


def captured(expression: str, path: str) -> str | None:
    """Return the match of a regular expression in a path: its groups joined by -, or the whole match; None if none."""
    match = re.search(expression, path)
    if match is None:
        return None
    groups = [group for group in match.groups() if group]
    return "-".join(groups) if match.re.groups else match[0]


def named_after(file: str) -> str:
    """Return the name of a volume from a file name: without suffixes, and with invalid characters replaced by -."""
    name = PurePosixPath(file).name
    while (suffix := PurePosixPath(name).suffix) and ENDING.fullmatch(suffix):
        name = name.removesuffix(suffix)
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")


def item_of_path(path: str, source: Source, subject: str, volume: str | None) -> Item | str:
    """Return the item of a file or archive member, or a message if its path does not match the expressions.

    Args:
        path: what the expressions are applied to.
        source: what it is read from.
        subject: regular expression of the subject.
        volume: regular expression of the volume's name, or None.
    """
    found = captured(subject, path)
    if not found:
        return f"subject: {subject!r} matches nothing in {path!r}"
    name = named_after(path) if volume is None else captured(volume, path)
    if not name:
        return f"volume: {volume!r} matches nothing in {path!r}"
    return Item(path, source, {"id": name, "subject": found})
