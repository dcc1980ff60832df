"""Local files, and folders of pictures."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.sources import LocalSource
from pipeline.errors import UserError
from pipeline.sources.retries import Patience


def fetch(source: LocalSource, archives: Path, patience: Patience) -> Path:
    """Return the path of a local file or folder; `archives` is not used.

    Raises:
        UserError: the file does not exist or is not a regular file.
    """
    del archives, patience
    path = Path(source.path)
    if path.is_dir():
        return path
    if not path.exists():
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise UserError(f"{path}: no such file{where}.")
    if not path.is_file():
        raise UserError(f"{path} is not a regular file.")
    return path
