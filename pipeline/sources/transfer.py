"""Downloads over HTTP that resume after interruptions (range requests, RFC 9110, section 14)."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from pipeline.errors import UserError
from pipeline.files import cannot_write
from pipeline.sources.chunks import write_pieces
from pipeline.sources.download_record import public_url
from pipeline.sources.retries import Patience, TransientError, check_status, persistently, telling

PIECE_BYTES = 2**16
LIMIT_BYTES = 2**40
"""Maximum size of a download; a server may send without end."""
MIN_BYTES = 2**10
"""Minimum progress within the maximum time without data; slower servers count as silent."""

CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)")
MEANINGLESS_ENCODINGS = ("", "identity")


@dataclass
class _Transfer:
    """A download.

    Attributes:
        address: http or https.
        partial: file to which the bytes are written.
        title: label of the progress bar.
        timeout_seconds: maximum time without data.
        limit_bytes: maximum size of the file.
        checked: whether the caller knows the SHA-256 of the file. Otherwise, a download is only resumed if the server
            states the same version.
        version: version of the file stated by the server (If-Range, RFC 9110, section 13.1.5), if any.
    """

    address: str
    partial: Path
    title: str
    timeout_seconds: float
    limit_bytes: int
    checked: bool
    version: str = ""

    def go_on(self) -> None:
        """Request the missing bytes; raises TransientError if a retry may help."""
        if not self.checked and not self.version:
            self.partial.unlink(missing_ok=True)  # the rest could be of another file
        begun = size_of(self.partial)
        with (
            telling(self.address),
            requests.get(
                self.address, headers=self._headers(begun), stream=True, timeout=self.timeout_seconds
            ) as response,
        ):
            if begun and response.status_code == requests.codes.requested_range_not_satisfiable:
                self._end_of(response, begun)
                return
            check_status(response, self.address)
            self._check_encoding(response)
            self._store(response, begun)

    def _headers(self, begun: int) -> dict[str, str]:
        # SHA-256 and ranges refer to the bytes of the file, not to those of a compressed transfer.
        headers = {"Accept-Encoding": "identity"}
        if begun:
            headers["Range"] = f"bytes={begun}-"
            if self.version:
                headers["If-Range"] = self.version  # another version is sent whole
        return headers

    def _end_of(self, response: requests.Response, begun: int) -> None:
        """Handle a range that the server cannot satisfy: the file is complete, or its size is wrong."""
        _, total = _extent(response)
        if total != begun and not (self.checked and total is None):
            self.partial.unlink(missing_ok=True)
            raise TransientError(
                f"{public_url(self.address)}: the server has {total} bytes, but {begun} were received before"
            )

    def _check_encoding(self, response: requests.Response) -> None:
        """Reject content that was compressed for the transfer; servers may label gzip files like this by mistake."""
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in MEANINGLESS_ENCODINGS and not self.title.endswith((".gz", ".tgz")):
            raise UserError(
                f"{public_url(self.address)}: the server sends an encoded file (Content-Encoding: {encoding}), "
                "although identity was requested. Download the file manually and use kind: local."
            )

    def _store(self, response: requests.Response, begun: int) -> None:
        first, total = _extent(response)
        if first not in (0, begun):
            self.partial.unlink(missing_ok=True)  # the next attempt requests the whole file
            raise TransientError(f"{public_url(self.address)}: the server sent another range than requested")
        self.version = _version_of(response)
        self._check_room(total, first or 0)
        mode = "ab" if first else "wb"
        try:
            write_pieces(self._pieces(response, first or 0), self.partial, mode, self.title, total)
        except OSError as error:
            raise cannot_write(self.partial, error) from error
        if total is not None and size_of(self.partial) < total:
            raise TransientError(f"{public_url(self.address)}: {size_of(self.partial)} of {total} bytes received")

    def _check_room(self, total: int | None, first: int) -> None:
        """Reject responses that are too large or do not fit on the disk; unknown sizes are limited later."""
        if total is not None and total > self.limit_bytes:
            raise self._too_large(f"claims to contain {total} bytes")
        missing, free = (total or 0) - first, shutil.disk_usage(self.partial.parent).free
        if missing > free:
            raise UserError(
                f"{public_url(self.address)}: {missing} bytes needed, but only {free} free in {self.partial.parent}. "
                "Free disk space, or use another folder."
            )

    def _pieces(self, response: requests.Response, first: int) -> Iterator[bytes]:
        """Yield the body, and stop if the server sends too much or is too slow."""
        size = first
        since, mark = time.monotonic(), size
        while piece := response.raw.read1(PIECE_BYTES, decode_content=False):
            size += len(piece)
            if size > self.limit_bytes:
                self.partial.unlink(missing_ok=True)
                raise self._too_large("does not end")
            yield piece
            if time.monotonic() - since > self.timeout_seconds:
                if size - mark < MIN_BYTES:
                    raise TransientError(
                        f"{public_url(self.address)}: {size - mark} bytes in {self.timeout_seconds:g} s; the server is "
                        "too slow"
                    )
                since, mark = time.monotonic(), size

    def _too_large(self, what: str) -> UserError:
        return UserError(f"{public_url(self.address)}: {what}; the limit is {self.limit_bytes} bytes.")


def transfer(
    address: str,
    partial: Path,
    title: str,
    patience: Patience,
    *,
    checked: bool = True,
    limit_bytes: int = LIMIT_BYTES,
) -> None:
    """Download a file, resuming from `partial`, until it is complete.

    Args:
        address: http or https.
        partial: file to which the bytes are written; it is kept if the download fails.
        title: name of the file, label of the progress bar.
        patience: timeouts and retries.
        checked: whether the caller checks the SHA-256 afterwards, which detects a file that changed between two
            attempts. If not, only parts of the same version, as stated by the server, are combined.
        limit_bytes: maximum size of the file.

    Raises:
        UserError: the server is unreachable, refuses the file or exceeds the limit, or `partial` cannot be written.
    """
    one = _Transfer(address, partial, title, patience.timeout_seconds, limit_bytes, checked)
    persistently(one.go_on, patience, lambda: size_of(partial) // MIN_BYTES)


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def _version_of(response: requests.Response) -> str:
    """Return the strong entity tag of a file, otherwise its modification time, otherwise an empty string."""
    tag = response.headers.get("ETag", "").strip()
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "").strip()


def _extent(response: requests.Response) -> tuple[int | None, int | None]:
    """Return the offset of the body in the file and the size of the file, if stated."""
    length = response.headers.get("Content-Length", "")
    if response.status_code == requests.codes.ok:
        return 0, int(length) if length.isdecimal() else None
    match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None:
        return None, None
    last = int(match["last"]) + 1 if match["last"] else None
    return int(match["first"] or 0), last if match["total"] == "*" else int(match["total"])
