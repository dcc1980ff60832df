"""Downloads over HTTP that go on where they were cut off (range requests, RFC 9110, section 14)."""

from __future__ import annotations

import re
from pathlib import Path

import requests

from pipeline.sources.chunks import write_pieces
from pipeline.sources.network import Patience, TransientError, check_status, persistently, shown, telling

PIECE_BYTES = 2**16
"""Small, since a piece that is cut off is lost."""

CONTENT_RANGE = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<total>\d+|\*)")


def transfer(address: str, partial: Path, title: str, patience: Patience) -> None:
    """Downloads a file, going on with what is in `partial`, until the server says that nothing is missing.

    No If-Range is sent: the caller knows the SHA-256 that the file must have, so that a file which changed between
    two tries is found out in any case.

    Args:
        address: http or https.
        partial: where the bytes go; it stays when the download fails.
        title: what stands before the progress bar.
        patience: how long the server is waited for.

    Raises:
        UserError: the server refuses or stays away, or `partial` cannot be written.
    """
    persistently(lambda: _go_on(address, partial, title, patience.timeout_seconds), patience, lambda: size_of(partial))


def size_of(path: Path) -> int:
    """Returns the size of a file in bytes; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _go_on(address: str, partial: Path, title: str, timeout_seconds: float) -> None:
    begun = size_of(partial)
    # Compressed on the way, the bytes would be others than those that the SHA-256 and the ranges count.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
    with telling(address), requests.get(address, headers=headers, stream=True, timeout=timeout_seconds) as response:
        if begun and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # the server has nothing beyond what is here
        check_status(response, address)
        first, total = _extent(response)
        if first not in (0, begun):
            partial.unlink(missing_ok=True)  # the next try asks for the whole file
            raise TransientError(f"{shown(address)}: the server sent another part than the one asked for")
        mode = "ab" if first else "wb"
        write_pieces(response.raw.stream(PIECE_BYTES, decode_content=False), partial, mode, title, total)
    if total is not None and size_of(partial) < total:
        raise TransientError(f"{shown(address)}: {size_of(partial)} of {total} bytes came")


def _extent(response: requests.Response) -> tuple[int | None, int | None]:
    """Returns the place of the body's first byte in the file, and the file's size, as far as they are stated."""
    length = response.headers.get("Content-Length", "")
    if response.status_code != requests.codes.partial_content:
        return 0, int(length) if length.isdecimal() else None
    match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None:
        return None, None
    return int(match["first"]), int(match["last"]) + 1 if match["total"] == "*" else int(match["total"])
