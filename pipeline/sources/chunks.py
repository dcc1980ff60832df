"""Reading and writing in chunks, for files larger than the memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal

from tqdm import tqdm

from pipeline.errors import UserError

CHUNK_BYTES = 2**20


def pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of a stream in chunks."""
    while piece := stream.read(CHUNK_BYTES):
        yield piece


def read_pieces(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file in chunks.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            yield from pieces(stream)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error


def write_pieces(
    source: Iterable[bytes], path: Path, mode: Literal["wb", "ab"], title: str, total: int | None = None
) -> None:
    """Write chunks to a file and flush it to the disk, with a progress bar.

    Args:
        source: the chunks; it should not raise OSError, which callers interpret as a failed write.
        path: the file.
        mode: "wb" to create the file, "ab" to append to it.
        title: label of the progress bar.
        total: size of the complete file in bytes, if known.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open(mode) as stream, _byte_bar(title, stream.tell(), total) as bar:
        for piece in source:
            stream.write(piece)
            bar.update(len(piece))
        stream.flush()
        os.fsync(stream.fileno())


def _byte_bar(title: str, begun: int, total: int | None) -> tqdm:
    return tqdm(
        desc=title,
        initial=begun,
        total=total,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=None,
    )
