"""Publish results under fixed names: hard links, or copies if the file system does not support links."""

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
    """Target folder of each, in the same order."""
    output: Path
    """List of the published files, relative to the folder of the list (.json)."""


def run(options: Options) -> None:
    """Publish all files that the manifests list.

    Raises:
        UserError: the numbers of folders differ, a manifest is missing, or a file cannot be written.
    """
    if len(options.folders) != len(options.into):
        raise UserError("--folders and --into require the same number of folders, in the same order.")
    published = []
    for folder, target in zip(options.folders, options.into, strict=True):
        for path in files_in(folder):
            publish(path, target / path.name)
            published.append(os.path.relpath(target / path.name, options.output.parent))
    write_json(options.output, {"files": sorted(published)})
    logger.info("%d files published", len(published))


def publish(path: Path, target: Path) -> None:
    """Create `target` as a hard link to `path` or as a copy; an existing file is replaced.

    Raises:
        UserError: the folder cannot be created or written to, or the disk is full.
    """
    with replacing(target) as partial:
        partial.unlink()
        try:
            os.link(path, partial)
        except OSError:
            shutil.copyfile(path, partial)
        os.utime(partial)  # a link has the modification time of its file, which may precede that of its inputs
