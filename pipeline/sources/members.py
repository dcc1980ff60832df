"""A member of an archive, as a stream of bytes.

Nothing is extracted to a path given by an archive, so that no archive can write outside its folder.
"""

from __future__ import annotations

import bz2
import difflib
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from pipeline.errors import UserError
from pipeline.sources.chunks import pieces

LIMIT_BYTES = 20 * 2**30
"""Maximum size of a member; the header of a small archive may claim petabytes."""
MAX_MEMBERS = 1_000_000
"""Maximum number of members of a tar archive that are skipped before the requested one."""
LARGEST_HEADER_BYTES = 2**24
"""Maximum size of a single read from a tar archive; the header of a member may claim any size."""
LARGEST_DICTIONARY_BYTES = 2**28
"""Memory limit of xz; its highest level needs a quarter of it."""

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)
"""Exceptions of the standard library for damaged archives and unknown compressions."""

XZ_SIGNATURE = b"\xfd7zXZ"
OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, XZ_SIGNATURE: lzma.open}
"""Decompressors of tar archives, by their first bytes."""
ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")


def read_member(archive: Path, member: str, limit_bytes: int = LIMIT_BYTES) -> Iterator[bytes]:
    """Yield the bytes of a member of a zip (wheel) or tar archive (plain, gzip, bzip2, xz) in chunks.

    Args:
        archive: path of the archive.
        member: path of a regular file inside it.
        limit_bytes: maximum size of the member.

    Raises:
        UserError: the archive is damaged or has no such member, or the member is not a regular file or is too large.
    """
    try:
        with archive.open("rb") as stream:
            is_zip = stream.read(4) in ZIP_SIGNATURES
        yield from (_read_zip if is_zip else _read_tar)(archive, member, limit_bytes)
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise UserError(f"{archive} is damaged, or neither a zip nor a tar archive ({reason}).") from error


def _read_zip(archive: Path, member: str, limit_bytes: int) -> Iterator[bytes]:
    with zipfile.ZipFile(archive) as content:
        names = {_plain(info.filename): info for info in content.infolist() if info.filename}
        if _plain(member) not in names:
            raise _missing(archive, member, [name for name, info in names.items() if not info.is_dir()])
        info = names[_plain(member)]
        if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            raise _not_a_file(archive, member, "a folder" if info.is_dir() else "a link")
        if info.flag_bits & 1:
            raise UserError(f"{archive}: {member!r} is encrypted.")
        _check_size(archive, member, info.file_size, limit_bytes)
        with content.open(info) as stream:
            yield from pieces(stream)


def _read_tar(archive: Path, member: str, limit_bytes: int) -> Iterator[bytes]:
    names: list[str] = []
    with _unpacked(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as content:
        for info in content:
            cast(Any, content).members.clear()  # otherwise all previous members stay in memory
            if len(names) > MAX_MEMBERS:
                raise UserError(f"{archive} has more than {MAX_MEMBERS} members, which is the limit.")
            if _plain(info.name) != _plain(member):
                names.append(_plain(info.name) if info.isreg() else "")
                continue
            found = content.extractfile(info) if info.isreg() else None
            if found is None:
                raise _not_a_file(archive, member, _kind(info))
            _check_size(archive, member, info.size, limit_bytes)
            yield from pieces(found)
            return
    raise _missing(archive, member, [name for name in names if name])


class _Careful(io.RawIOBase):
    """A stream of a tar archive with a limit on the size of a read, against decompression bombs."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes; raises tarfile.ReadError above the limit."""
        if not 0 <= size <= LARGEST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True


@contextmanager
def _unpacked(archive: Path) -> Iterator[_Careful]:
    """Open a tar archive with the decompressor for its first bytes."""
    with archive.open("rb") as raw:
        start = raw.read(6)
        raw.seek(0)
        if start.startswith(XZ_SIGNATURE):
            _check_dictionary(archive)
        opened = next((opener(raw) for signature, opener in OPENERS.items() if start.startswith(signature)), raw)
        with opened as stream:
            yield _Careful(cast(IO[bytes], stream))


def _check_dictionary(archive: Path) -> None:
    """Reject an xz file that needs too much memory."""
    with archive.open("rb") as stream:
        decompressor = lzma.LZMADecompressor(memlimit=LARGEST_DICTIONARY_BYTES)
        decompressor.decompress(stream.read(2**16), max_length=1)


def _plain(name: str) -> str:
    """Return a path in an archive without the leading ./ that some programs write."""
    return name.removeprefix("./").rstrip("/")


def _kind(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return f"a link to {info.linkname!r}"
    return "a folder" if info.isdir() else "a device"


def _check_size(archive: Path, member: str, size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise UserError(f"{archive}: {member!r} claims to contain {size} bytes; the limit is {limit_bytes}.")


def _not_a_file(archive: Path, member: str, kind: str) -> UserError:
    return UserError(f"{archive}: {member!r} is {kind}; choose a regular file (key member).")


def _missing(archive: Path, member: str, names: Sequence[str]) -> UserError:
    return UserError(f"{archive} has no file {member!r} (key member); {_nearest(member, names)}")


def _nearest(member: str, names: Sequence[str]) -> str:
    """Suggest the most similar path, preferably one with the same file name."""
    if not names:
        return "it contains no files."
    same = [name for name in names if name.rsplit("/", 1)[-1] == member.rsplit("/", 1)[-1]]
    nearest = difflib.get_close_matches(member, same or names, n=1, cutoff=0.0)[0]
    return f"the most similar of its files ({len(names)}) is {nearest!r}."
