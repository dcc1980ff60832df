"""Publish results under the names that other programs rely on: hard links, or copies where the disk has no links."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files import replacing, write_json
from pipeline.steps._shards import files_in

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    folders: list[Path]
    """Folders of results, each with a manifest."""
    into: list[Path]
    """Folder in which the files of each are published, in the same order."""
    output: Path
    """List of the published files, relative to its own folder (.json)."""


def run(options: Options) -> None:
    """Publish all files that the manifests list.

    Raises:
        UserError: the numbers of folders differ, a manifest is missing, or a file cannot be written.
    """
    if len(options.folders) != len(options.into):
        raise UserError("--folders and --into need equally many folders, in the same order.")
    published = []
    for folder, target in zip(options.folders, options.into, strict=True):
        for path in files_in(folder):
            publish(path, target / path.name)
            published.append(os.path.relpath(target / path.name, options.output.parent))
    write_json(options.output, {"files": sorted(published)})
    logger.info("%d files published", len(published))


def publish(path: Path, target: Path) -> None:
    """Make `target` a hard link to `path`, or a copy of it; an earlier file is replaced.

    Raises:
        UserError: the folder cannot be made or written to, or the disk is full.
    """
    with replacing(target) as partial:
        partial.unlink()
        try:
            os.link(path, partial)
        except OSError:
            shutil.copyfile(path, partial)
        os.utime(partial)  # a link is as old as its file, and would look older than its inputs
