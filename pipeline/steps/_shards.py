"""Volumes of a shard: progress, atomic output folders, writing in the background."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import UserError
from pipeline.files import folder_beside, publish_folder, read_json, write_json

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
"""Lists the files of a folder of results."""


def each(files: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of a shard's volumes; if there are several, each is logged before it is processed."""
    for number, path in enumerate(files, start=1):
        if len(files) > 1:
            logger.info("%d of %d: %s", number, len(files), path.name.partition(".")[0])
        yield path


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target`, with a manifest of its files, when the block ends without error.

    Raises:
        UserError: the folder cannot be created or written to, or the disk is full.
    """
    with folder_beside(target) as folder:
        yield folder
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        write_json(folder / MANIFEST, {"files": files})
        publish_folder(folder, target)


def files_in(folder: Path) -> list[Path]:
    """Return the files that the manifest of a folder lists.

    Raises:
        UserError: the folder has no manifest.
    """
    content = read_json(folder / MANIFEST)
    if not isinstance(content, dict) or not isinstance(content.get("files"), list):
        raise UserError(f"{folder / MANIFEST}: lists no files; delete the folder and run again.")
    return [folder / name for name in content["files"]]


def files_of(volume: str, paths: Sequence[Path]) -> list[Path]:
    """Return the files of a volume among files and folders of results, which are named <volume id>.<suffix>.

    Ids contain no dots.

    Raises:
        UserError: there is none.
    """
    candidates = [one for path in paths for one in (sorted(path.glob(f"{volume}.*")) if path.is_dir() else [path])]
    found = [path for path in candidates if path.name.partition(".")[0] == volume]
    if not found:
        raise UserError(f"volume {volume!r}: no file of that name among {', '.join(map(str, paths))}.")
    return found


class BackgroundWriter:
    """Write one result in a thread while the next one is computed; at most one result is queued."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None

    def write(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the background, after the previous call has ended.

        Raises:
            Exception: raised by the previous call.
        """
        self.wait()
        self._writing = self._pool.submit(function, *arguments)

    def wait(self) -> None:
        """Wait until everything is written; raise the exception of the last call, if any."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def __enter__(self) -> BackgroundWriter:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish writing; an error of the block takes precedence over one of the last call."""
        try:
            if error is None:
                self.wait()
        finally:
            self._pool.shutdown()
