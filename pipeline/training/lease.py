"""A lease on a folder: no two processes work in it at a time, wherever they run.

Within a machine, and between machines whose shared disk knows file locks, a lock settles it: the system takes it away
from a process that was killed. Some disks of clusters have no locks, or locks that other machines do not see. So the
holder also leaves a note and renews it: one from another machine counts for as long as it is renewed.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from filelock import FileLock, Timeout

from pipeline.errors import UserError
from pipeline.files import cannot_write, write_text

logger = logging.getLogger(__name__)

BEAT_S = 10.0
"""How often the holder renews its note."""
PATIENCE_BEATS = 9
"""Beats of silence after which a note from another machine is stale: NFS may show a change a minute late."""
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""How a disk says that it has no file locks."""


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder for as long as the block lasts, or the process lives.

    Args:
        folder: it is made where it is missing. Two files in it are the lease's.

    Raises:
        UserError: another process holds the lease, says which; or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    note = folder / "lease.json"
    lock = FileLock(folder / "lease.lock", fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise _refusal(folder, _read(note)) from error
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise cannot_write(folder, error) from error
        logger.warning("%s: this disk has no file locks; the note that trainings leave has to do", folder)
    try:
        _wait_out(folder, note, locked=lock.is_locked)
        with _beating(note):
            yield
    finally:
        lock.release()


def _wait_out(folder: Path, note: Path, *, locked: bool) -> None:
    """Watch a note that the lock says nothing about until it is known to be stale."""
    before = _read(note)
    if not before or (locked and before["host"] == socket.gethostname()):
        return
    logger.info("%s was here; watching for %.0f s whether it still is", before["who"], PATIENCE_BEATS * BEAT_S)
    end = time.monotonic() + PATIENCE_BEATS * BEAT_S
    while time.monotonic() < end:
        time.sleep(BEAT_S / 4)
        if _read(note) not in (None, before):
            raise _refusal(folder, before)


@contextmanager
def _beating(note: Path) -> Iterator[None]:
    """Renew the note for as long as the block lasts, and takes it away at its end."""
    done = Event()
    thread = Thread(target=_beat, args=(note, done), daemon=True)
    _renew(note, 0)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        note.unlink(missing_ok=True)


def _beat(note: Path, done: Event) -> None:
    count = 0
    # Where the folder was removed, renewing the note would make it anew.
    while not done.wait(BEAT_S) and note.exists():
        count += 1
        try:
            _renew(note, count)
        except (UserError, OSError) as error:
            logger.warning("the lease could not be renewed: %s", error)


def _renew(note: Path, count: int) -> None:
    job = os.environ.get("SLURM_JOB_ID")
    host = socket.gethostname()
    who = f"process {os.getpid()} on {host}" + (f", Slurm job {job}" if job else "")
    write_text(note, json.dumps({"who": who, "host": host, "beat": count}))


def _read(note: Path) -> dict[str, str] | None:
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _refusal(folder: Path, holder: dict[str, str] | None) -> UserError:
    who = f" ({holder['who']})" if holder else ""
    return UserError(f"{folder}: another training is writing here{who}; wait for it or stop it.")
