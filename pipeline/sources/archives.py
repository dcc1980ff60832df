"""The folder of downloads: complete, checked files, each downloaded once.

The SHA-256 of a file is recorded next to it, with the size and modification time of the file. An archive with hundreds
of members, each of them a source, is hashed once and not hundreds of times.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from pipeline.errors import UserError
from pipeline.files import read_json, sha256_of, write_json
from pipeline.sources.retries import Patience, UnreachableError
from pipeline.sources.transfer import size_of, transfer

logger = logging.getLogger(__name__)

DIGITS = 12
"""Leading digits of the SHA-256 that name the folder of a file, so that files of the same name do not collide."""


def archive_path(folder: Path, name: str, sha256: str) -> Path:
    """Return the path of a downloaded file."""
    return folder / sha256[:DIGITS] / name


def stored_copy(folders: Sequence[Path], name: str, sha256: str) -> Path | None:
    """Return a file with the given SHA-256 that exists in one of several folders; None if there is none.

    It is either a previous download, or a file anywhere below a folder whose name ends in that of the download, such as
    sub-01_T1w.nii.gz for T1w.nii.gz; hyphens and underscores count as equal.

    Args:
        folders: archive folders, in the order in which they are searched; they may be read-only.
        name: name of the file.
        sha256: expected SHA-256 of the file.
    """
    for folder in folders:
        downloaded = archive_path(folder, name, sha256)
        if _has(downloaded, sha256):
            return downloaded
    ending = name.replace("_", "-")
    for folder in folders:
        for path in sorted(folder.rglob(f"*{PurePosixPath(name).suffix}")):
            if path.name.replace("_", "-").endswith(ending) and _is(path, sha256):
                logger.info("%s: using %s", name, path)
                return path
    return None


def archive(folder: Path, name: str, sha256: str, locate: Callable[[], str], patience: Patience) -> Path:
    """Return the path of a file, and download it if it does not exist.

    Concurrent processes wait for the first that downloads the file. An existing complete file is used as it is, even in
    a read-only folder.

    Args:
        folder: archive folder.
        name: name of the file.
        sha256: expected SHA-256 of the file.
        locate: returns the address; called only if a download is needed.
        patience: timeouts and retries.

    Raises:
        UserError: the file cannot be downloaded or has another SHA-256, or the folder cannot be written to.
    """
    path = archive_path(folder, name, sha256)
    if _found(path) == sha256:
        return path
    with _alone_at(path):
        if _found(path) != sha256:
            _remove_corrupt(path, sha256)
            _download(path, sha256, locate, patience)
            note_sha256(path, sha256)
    return path


def unchecked_archive(folder: Path, name: str, address: str, patience: Patience) -> Path:
    """Return the path of a downloaded file without a given checksum; its SHA-256 is logged.

    An existing file is used as it is. A partial download is not resumed, since the two parts could be of
    different files.

    Args:
        folder: archive folder.
        name: name of the file.
        address: address of the file; a hash of it names the folder, so that files of the same name do not collide.
        patience: timeouts and retries.

    Raises:
        UserError: the file cannot be downloaded, or the folder cannot be written to.
    """
    path = folder / f"unchecked-{hashlib.sha256(address.encode()).hexdigest()[:DIGITS]}" / name
    if not path.is_file():
        with _alone_at(path):
            if not path.is_file():
                _download_unchecked(path, address, patience)
    logger.warning(
        "%s is not checked, since its source has no sha256. To use the same file in all runs, set sha256: %s",
        *(name, _found(path)),
    )
    return path


def note_sha256(path: Path, sha256: str) -> None:
    """Record the SHA-256 of a file; if the record cannot be written, the file is hashed again next time."""
    with suppress(UserError):
        write_json(_note_path(path), {"sha256": sha256, **_state(path)})


def _found(path: Path) -> str | None:
    """Return the SHA-256 of a file, recorded or computed; None if the file does not exist."""
    if not path.is_file():
        return None
    with suppress(UserError, KeyError, TypeError):
        noted = read_json(_note_path(path))
        if {key: noted[key] for key in ("size_bytes", "changed_ns")} == _state(path):
            return str(noted["sha256"])
    sha256 = sha256_of(path)
    note_sha256(path, sha256)
    return sha256


def _has(path: Path, sha256: str) -> bool:
    """Return whether a file can be read and has the given SHA-256, recorded or computed."""
    with suppress(UserError, OSError):
        return _found(path) == sha256
    return False


def _is(path: Path, sha256: str) -> bool:
    """Return whether a file can be read and has the given SHA-256; nothing is written beside it."""
    with suppress(OSError):
        return sha256_of(path) == sha256
    return False


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256.json")


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size_bytes": status.st_size, "changed_ns": status.st_mtime_ns}


def _download_unchecked(path: Path, address: str, patience: Patience) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    logger.info("%s: downloading", path.name)
    try:
        transfer(address, partial, path.name, patience, checked=False)
    except UnreachableError as error:
        raise UserError(f"{error} Or place the file at {path} manually.") from error
    partial.replace(path)


def _remove_corrupt(path: Path, sha256: str) -> None:
    if path.exists():
        found = sha256_of(path)
        path.unlink()
        logger.warning("%s was corrupt and is deleted: expected SHA-256 %s, found %s", path, sha256, found)


def _download(path: Path, sha256: str, locate: Callable[[], str], patience: Patience) -> None:
    partial = path.with_name(path.name + ".partial")
    resumed = size_of(partial)
    try:
        address = locate()
        logger.info("%s: %s", path.name, f"resuming after {resumed} bytes" if resumed else "downloading")
        transfer(address, partial, path.name, patience)
        if resumed and sha256_of(partial) != sha256:
            logger.warning("%s: the partial download is corrupt; starting again", path.name)
            partial.unlink()
            transfer(address, partial, path.name, patience)
    except UnreachableError as error:
        raise UserError(f"{error} Or place the file at {path} manually.") from error
    _publish(partial, path, sha256)


def _publish(partial: Path, path: Path, sha256: str) -> None:
    found, size = sha256_of(partial), size_of(partial)
    if found != sha256:
        partial.unlink()
        raise UserError(
            f"{path.name} has an unexpected checksum and is deleted: expected SHA-256 {sha256}, found {found} "
            f"({size} bytes). Run again; if this recurs, the file on the server has changed: check the key sha256."
        )
    partial.replace(path)


@contextmanager
def _alone_at(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; it is released when the process ends."""
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, path)
    except OSError as error:
        raise UserError(f"cannot write in {path.parent}: {error.strerror}. Check that it is writable.") from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, path: Path) -> None:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.info("%s: waiting for another process to download it", path.name)
        lock.acquire()
