"""Put tables of single volumes, which have the same columns, into one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

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


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--parts", "tables of single volumes (.csv)", many=True)
    add_path(parser, "--output", "one table (.csv)")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    write_text(arguments.output, merged(arguments.parts))
    logger.info("%s: %d tables", arguments.output.name, len(arguments.parts))
