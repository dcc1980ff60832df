"""Put tables of single volumes, which have the same columns, into one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from pipeline.files import write_text
from pipeline.tables.table import concatenate

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    parts: list[Path]
    """Tables of single volumes (.csv)."""
    output: Path
    """The table of all volumes (.csv)."""


def run(options: Options) -> None:
    """Write the table."""
    write_text(options.output, concatenate(options.parts))
    logger.info("%s: %d tables", options.output.name, len(options.parts))
