"""Return results the names that other programs rely on: a hard link, or a copy where the disk knows no links."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.files import replacing

logger = logging.getLogger(__name__)


def publish(made: Path, target: Path) -> None:
    """Make `target` the same file as `made`, or a copy of it; what stood there is replaced.

    Raises:
        UserError: the folder cannot be made or written to, or the disk is full.
    """
    with replacing(target) as partial:
        partial.unlink()
        try:
            os.link(made, partial)
        except OSError:
            shutil.copyfile(made, partial)
        os.utime(partial)  # a link is as old as what it names, and would look older than what it was made of


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    restored: list[Path]
    """Restored volumes."""
    output: list[Path]
    """Their names, in the same order."""


def run(options: Options) -> None:
    """Publish the files."""
    for source, target in zip(options.restored, options.output, strict=True):
        publish(source, target)
    logger.info("%d files published", len(options.output))
