"""Put tables of single volumes, which have the same columns, into one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files import write_text

logger = logging.getLogger(__name__)


def merged(paths: Sequence[Path]) -> str:
    """Return the lines of all tables under one header, as they are, in the order of the files.

    Raises:
        UserError: a file cannot be read, or its columns are not those of the first.
    """
    header, rows = "", []
    for path in paths:
        try:
            first, *lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {path} as a table: {error}. Delete it and run again.") from error
        header = header or first
        if first != header:
            raise UserError(
                f"{path}: has the columns {first!r}, but {paths[0]} has {header!r}. Delete it and run again."
            )
        rows.extend(lines)
    return "\n".join([header, *rows]) + "\n"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    parts: list[Path]
    """Tables of single volumes (.csv)."""
    output: Path
    """The table of all volumes (.csv)."""


def run(options: Options) -> None:
    """Write the table."""
    write_text(options.output, merged(options.parts))
    logger.info("%s: %d tables", options.output.name, len(options.parts))
