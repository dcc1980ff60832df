"""Disks and folders that refuse to be written to: full ones and read-only ones."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

NO_ROOM = "No space left on device"


@contextmanager
def mounted(folder: Path, size_kb: int) -> Iterator[Path]:
    """Mount an empty disk at a folder, which is made; skips the test where this is not allowed."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here (root can): {result.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def resized(folder: Path, size_kb: int) -> None:
    """Make a mounted disk larger or smaller."""
    subprocess.run(["mount", "-o", f"remount,size={size_kb}k", folder], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte; return the file that does it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream, pytest.raises(OSError, match=NO_ROOM):
        _write_for_ever(stream)
    return filler


def _write_for_ever(stream: IO[bytes]) -> None:
    while True:
        stream.write(bytes(4096))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take the right to write from a folder and all that are in it; see `tests.helpers.without_privileges`."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        yield
    finally:
        for path in folders:
            path.chmod(0o755)
