"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full, the user's share of it is used up, or the file is larger than is allowed."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Gives a temporary path beside `target`; it is flushed and takes target's place when the block ends well.

    The temporary name keeps target's suffixes, since writers choose the format by them. When the block raises,
    the temporary file is removed and whatever stood at `target` stays as it was.

    Raises:
        UserError: the folder cannot be made or written to, or the disk is full.
    """
    try:
        if target.is_dir():
            raise UserError(f"cannot write {target}: a folder of this name stands there.")
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix="".join(target.suffixes[-2:]), dir=target.parent)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}. Is its folder writable?") from error
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        _publish(partial, target)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise UserError(f"cannot write {target}: {error.strerror}. Make room on the disk.") from error
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Gives an empty folder on the disk of `target`, which is removed when the block ends; see `publish_folder`.

    Raises:
        UserError: the folder cannot be made or written to, or the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}. Is its folder writable?") from error
    folder = aside / target.name  # made by mkdir, it has the permissions that the umask grants
    try:
        folder.mkdir()
        yield folder
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise UserError(f"cannot write {target}: {error.strerror}. Make room on the disk.") from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def publish_folder(folder: Path, target: Path) -> None:
    """Flushes a whole folder to the disk and renames it to `target`; a folder that stood there is removed.

    Args:
        folder: on the disk of `target`.
        target: the final name, in a folder that exists.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
    # A folder that holds files cannot be replaced in one step.
    with tempfile.TemporaryDirectory(prefix=".replaced-", dir=target.parent) as aside:
        earlier = Path(aside) / target.name
        if target.exists():
            target.rename(earlier)
        try:
            folder.rename(target)
        except OSError:
            if earlier.exists():
                earlier.rename(target)
            raise


def _publish(partial: Path, target: Path) -> None:
    """Flushes `partial` to the disk and renames it, with the permissions that the umask grants a new file."""
    umask = os.umask(0)
    os.umask(umask)
    partial.chmod(0o666 & ~umask)
    with partial.open("rb+") as stream:
        os.fsync(stream.fileno())
    partial.replace(target)


def write_text(target: Path, text: str) -> None:
    """Writes UTF-8 `text` to `target`, whole or not at all."""
    with replacing(target) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Writes `value` as indented JSON with sorted keys, whole or not at all."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        UserError: the file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}. Delete it and run again.") from error


def folders_of(folder: Path) -> list[Path]:
    """Returns a folder and all folders below it, sorted: one of them changes whenever a file comes or goes."""
    return sorted(Path(top) for top, _, _ in os.walk(folder))


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
