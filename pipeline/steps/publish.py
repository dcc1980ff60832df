"""Return results the names that other programs rely on: a hard link, or a copy where the disk knows no links."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from pipeline.files import replacing
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

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


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--restored", "restored volumes", many=True)
    add_path(parser, "--output", "their names, in the same order", many=True)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    for made, target in zip(arguments.restored, arguments.output, strict=True):
        publish(made, target)
    logger.info("%d files published", len(arguments.output))
