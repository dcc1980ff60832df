"""A lease on a folder, which excludes all other processes, including those on other machines.

On one machine, and on shared file systems that support locks, it is a file lock, which the system releases when a
process is killed. Some file systems of clusters have no locks, or locks that other machines do not see. Therefore the
owner also writes a heartbeat file at regular intervals; one from another machine is valid for as long as it is renewed.
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
"""Interval of the heartbeat, in seconds."""
MAX_MISSED_BEATS = 9
"""Missed beats after which the heartbeat of another machine is stale: NFS may show a change a minute late."""
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""Errors of file systems without file locks."""


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Exclude other processes from a folder until the block ends or the process is killed.

    Args:
        folder: created if it is missing; lease.lock and lease.json are written to it.

    Raises:
        UserError: another process has the lease, which the message names, or the folder is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    heartbeat = folder / "lease.json"
    lock = FileLock(folder / "lease.lock", fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise _in_use(folder, _read(heartbeat)) from error
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise cannot_write(folder, error) from error
        logger.warning("%s: this file system has no file locks; relying on the heartbeat of other trainings", folder)
    try:
        _wait_until_stale(folder, heartbeat, locked=lock.is_locked)
        with _renewed(heartbeat):
            yield
    finally:
        lock.release()


def _wait_until_stale(folder: Path, heartbeat: Path, *, locked: bool) -> None:
    """Wait until the heartbeat of an owner that the lock does not exclude is known to be stale."""
    before = _read(heartbeat)
    if not before or (locked and before["host"] == socket.gethostname()):
        return
    seconds = MAX_MISSED_BEATS * BEAT_S
    logger.info("waiting %.0f s to see whether %s is still running", seconds, before["who"])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(BEAT_S / 4)
        if _read(heartbeat) not in (None, before):
            raise _in_use(folder, before)


@contextmanager
def _renewed(heartbeat: Path) -> Iterator[None]:
    """Renew the heartbeat until the block ends, then remove it."""
    done = Event()
    thread = Thread(target=_renew_until, args=(heartbeat, done), daemon=True)
    _renew(heartbeat, 0)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        heartbeat.unlink(missing_ok=True)


def _renew_until(heartbeat: Path, done: Event) -> None:
    count = 0
    # Renewing the heartbeat would create a folder that was removed.
    while not done.wait(BEAT_S) and heartbeat.exists():
        count += 1
        try:
            _renew(heartbeat, count)
        except (UserError, OSError) as error:
            logger.warning("the lease could not be renewed: %s", error)


def _renew(heartbeat: Path, count: int) -> None:
    job = os.environ.get("SLURM_JOB_ID")
    host = socket.gethostname()
    who = f"process {os.getpid()} on {host}" + (f", Slurm job {job}" if job else "")
    write_text(heartbeat, json.dumps({"who": who, "host": host, "beat": count}))


def _read(heartbeat: Path) -> dict[str, str] | None:
    try:
        return json.loads(heartbeat.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _in_use(folder: Path, owner: dict[str, str] | None) -> UserError:
    who = f" ({owner['who']})" if owner else ""
    return UserError(f"{folder}: another training is writing here{who}; wait for it or stop it.")
