"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full, the user's share of it is used up, or the file is larger than is allowed."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; it is flushed and takes target's place when the block ends well.

    The temporary name keeps target's suffixes, since writers choose the format by them. When the block raises,
    the temporary file is removed and whatever stood at `target` stays as it was. A process that is killed leaves its
    temporary file behind; the next one that writes `target` removes it.

    Raises:
        UserError: the folder cannot be made or written to, or the disk is full.
    """
    with _told_of(target), _temporary(target, _new_file) as partial:
        yield partial
        _publish(partial, target)


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Yield an empty folder on the disk of `target`, which is removed when the block ends; see `publish_folder`.

    Raises:
        UserError: the folder cannot be made or written to, or the disk is full.
    """
    with _told_of(target), _temporary(target, _new_folder) as aside:
        folder = aside / target.name  # made by mkdir, it has the permissions that the umask grants
        folder.mkdir()
        yield folder


def publish_folder(folder: Path, target: Path) -> None:
    """Flush a whole folder to the disk and renames it to `target`; a folder that stood there is removed.

    Args:
        folder: on the disk of `target`.
        target: the final name, in a folder that exists.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
    # A folder that holds files cannot be replaced in one step.
    with _temporary(target, _new_folder) as aside:
        earlier = aside / target.name
        if target.exists():
            target.rename(earlier)
        try:
            folder.rename(target)
        except OSError:
            if earlier.exists():
                earlier.rename(target)
            raise


def cannot_write(target: Path, error: OSError) -> UserError:
    """Return the error for a failed write of `target`, with its reason and solution."""
    advice = "Make room on the disk." if error.errno in DISK_ERRORS else "Is its folder writable?"
    return UserError(f"cannot write {target}: {error.strerror}. {advice}")


@contextmanager
def _told_of(target: Path) -> Iterator[None]:
    """Make a full disk a user's mistake that names the target."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise cannot_write(target, error) from error
        raise


@contextmanager
def _temporary(target: Path, make: Callable[[Path], Path]) -> Iterator[Path]:
    """Yield what `make` makes beside `target`, locked against those who clear up, and removes it in the end."""
    try:
        if make is _new_file and target.is_dir():
            raise UserError(f"cannot write {target}: a folder has this name.")
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        path, descriptor = _locked(target, make)
    except OSError as error:
        raise cannot_write(target, error) from error
    try:
        yield path
    finally:
        _remove(path)
        os.close(descriptor)


def _new_file(target: Path) -> Path:
    """Make an empty file beside `target` under a temporary name."""
    suffix = "".join(target.suffixes[-2:])
    handle, name = tempfile.mkstemp(prefix=_temporary_prefix(target), suffix=suffix, dir=target.parent)
    os.close(handle)
    return Path(name)


def _new_folder(target: Path) -> Path:
    """Make an empty folder beside `target` under a temporary name."""
    return Path(tempfile.mkdtemp(prefix=_temporary_prefix(target), dir=target.parent))


def _temporary_prefix(target: Path) -> str:
    """Return how temporary names of a target begin: of one length, however long the target's own name is."""
    return f".partial-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


def _locked(target: Path, make: Callable[[Path], Path]) -> tuple[Path, int]:
    """Make something temporary and locks it: the system takes the lock away from a process that is killed.

    Returns:
        Its path, and the descriptor that holds the lock for as long as it is open.
    """
    while True:
        path = make(target)
        try:
            descriptor = _open(path)
        except FileNotFoundError:  # another writer came before the lock, and cleared it up
            continue
        if _lock(descriptor) is not Lock.ELSEWHERE and path.exists():
            return path, descriptor
        os.close(descriptor)


class Lock(Enum):
    """Who has the lock of a file."""

    HERE = "this descriptor"
    ELSEWHERE = "another descriptor"
    UNKNOWN = "nobody: the disk has no locks"


def _open(path: Path) -> int:
    # A folder cannot be opened for writing; of a file, NFS grants a lock only then.
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)


def _lock(descriptor: int) -> Lock:
    """Try to take the lock of an open file or folder."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Lock.ELSEWHERE
    except OSError:
        return Lock.UNKNOWN
    return Lock.HERE


@contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """Lock a file until the block ends; a killed process loses the lock, unless a child inherited the descriptor.

    Yields:
        The descriptor that has the lock; None if the disk has no locks.

    Raises:
        UserError: another process has the lock, or the file cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        found = _lock(descriptor)
        if found is Lock.ELSEWHERE:
            raise UserError(f"{path.parent}: another process is writing here; wait until it has finished.")
        yield descriptor if found is Lock.HERE else None
    finally:
        os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    """Remove what processes that were killed have left of `target`; on a disk without locks it stays."""
    for path in target.parent.glob(f"{_temporary_prefix(target)}*"):
        try:
            descriptor = _open(path)
        except OSError:
            continue
        if _lock(descriptor) is Lock.HERE:
            _remove(path)
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a file or folder that may be gone already."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _publish(partial: Path, target: Path) -> None:
    """Flush `partial` to the disk and renames it, with the permissions that the umask grants a new file."""
    umask = os.umask(0)
    os.umask(umask)
    partial.chmod(0o666 & ~umask)
    with partial.open("rb+") as stream:
        os.fsync(stream.fileno())
    partial.replace(target)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 `text` to `target`, whole or not at all."""
    with replacing(target) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, whole or not at all."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

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
    """Return a folder and all folders below it, sorted: one of them changes whenever a file comes or goes."""
    return sorted(Path(top) for top, _, _ in os.walk(folder))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
