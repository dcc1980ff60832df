"""Read images that consist of many files, in a folder or a zip archive.

Files are read into memory; nothing is extracted to a path given by an archive.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.errors import UserError
from pipeline.sources.members import DAMAGE

LIMIT_BYTES = 2**28
"""Maximum size of a slice or picture; the header of a small archive may claim petabytes."""
PICTURES = (".jpg", ".jpeg", ".png")
DICOM_START, DICOM_MARK = 128, b"DICM"
"""Offset of the magic bytes of a DICOM file (DICOM PS3.10, section 7.1)."""
BARE_START = re.compile(rb"[\x02\x08]\x00[\x00-\x18]\x00(?:(?:UL|UI|CS|SH|OB)|[\x02-\x40]\x00\x00\x00)")
"""Start of DICOM files without a preamble: the tag of one of the first elements, then its VR or length."""
BARE_TAGS = re.compile(rb"\x08\x00[\x00-\x70]\x00")
"""Tags of the group that describes the object; a file without a preamble has several of them in its first bytes."""
MIN_BARE_TAGS = 2
BY_PRODUCTS = ("thumbs.db", "desktop.ini", "dicomdir")
"""Files that operating systems and media add to image folders, in lower case."""
MAX_LISTED = 8


@dataclass(frozen=True)
class Bundle:
    """The files of a folder or archive, by their paths inside it (with slashes), sorted.

    Attributes:
        path: the folder or archive.
        sizes: size of every file in bytes; for an archive, as stated in its directory.
        start: opens a file.
    """

    path: Path
    sizes: Mapping[str, int]
    start: Callable[[str], IO[bytes]]

    def read(self, name: str, count: int = -1) -> bytes:
        """Return the first `count` bytes of a file, or all.

        Raises:
            UserError: the file cannot be read, is damaged, or is too large.
        """
        if self.sizes[name] > LIMIT_BYTES and count < 0:
            size = self.sizes[name]
            raise UserError(f"{self.path}: {name!r} claims to contain {size} bytes; the limit is {LIMIT_BYTES}.")
        try:
            with self.start(name) as stream:
                return stream.read(count)
        except (*DAMAGE, RuntimeError) as error:
            raise UserError(f"{self.path}: {name!r} cannot be read ({error}). Is it complete?") from error

    def is_dicom(self, name: str) -> bool:
        """Return whether a file has the signature of a DICOM file and is not a DICOMDIR.

        Old files begin with their first element instead of a preamble and the letters DICM.
        """
        if is_hidden(name) or PurePosixPath(name).name.upper() == "DICOMDIR":
            return False
        start = self.read(name, DICOM_START + len(DICOM_MARK))
        is_bare = BARE_START.match(start) is not None and len(BARE_TAGS.findall(start)) >= MIN_BARE_TAGS
        return start[DICOM_START:] == DICOM_MARK or is_bare


def is_hidden(path: str) -> bool:
    """Return whether a file is hidden, such as the files that some systems add to folders."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(path).parts)


def is_picture(path: str) -> bool:
    """Return whether a file has the extension of a picture and is not hidden."""
    return path.lower().endswith(PICTURES) and not is_hidden(path)


def other_files(names: Iterable[str]) -> list[str]:
    """Return the files that are neither pictures nor hidden nor created by an operating system."""
    return [
        name
        for name in names
        if not is_picture(name) and not is_hidden(name) and PurePosixPath(name).name.lower() not in BY_PRODUCTS
    ]


def listed(names: list[str]) -> str:
    """Return the first names of a list and the number of the others, for a message."""
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Open a folder, a zip archive, or a single file as a bundle of one.

    Raises:
        UserError: `path` does not exist or cannot be read, or a link in the folder points outside it.
    """
    if path.is_dir():
        files = _files_below(path)
        sizes = {name: file.stat().st_size for name, file in files.items()}
        yield Bundle(path, sizes, lambda name: files[name].open("rb"))
        return
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        is_zip = zipfile.is_zipfile(path)
        archive = zipfile.ZipFile(path) if is_zip else None
    except DAMAGE as error:
        raise UserError(f"{path}: cannot be read as a zip archive ({error}). Is it complete?") from error
    if archive is None and path.suffix.lower() == ".zip":
        raise UserError(f"{path}: is not a zip archive, or is incomplete.")
    if archive is None:
        yield Bundle(path, {path.name: path.stat().st_size}, lambda _: path.open("rb"))
        return
    with archive:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        sizes = {name: members[name].file_size for name in sorted(members)}
        yield Bundle(path, sizes, lambda name: archive.open(members[name]))


def _files_below(folder: Path) -> dict[str, Path]:
    """Return the files of a folder and its subfolders; links to folders are not followed."""
    files = [Path(top) / name for top, _, names in os.walk(folder) for name in names]
    inside = folder.resolve()
    for file in files:
        if file.is_symlink() and not (file.is_file() and file.resolve().is_relative_to(inside)):
            raise UserError(f"{file} is a link to a file outside {folder}, or is broken; replace it by the file.")
    named = {file.relative_to(folder).as_posix(): file for file in files if file.is_file()}
    return dict(sorted(named.items()))
