"""Images of many files: a folder of them, or a zip archive, read alike; and folders packed into archives.

Files are read into memory; nothing is ever extracted by a path that stands in an archive.
"""

from __future__ import annotations

import logging
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
"""Largest file that is taken for a slice or picture; a small archive may claim to hold petabytes."""
FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""Of the zip format; written into archives, so that the same files always give the same bytes."""
PERMISSIONS = 0o644 << 16
"""Of a file in a zip archive: its owner may write it, all may read it."""
PICTURES = (".jpg", ".jpeg", ".png")
DICOM_START, DICOM_MARK = 128, b"DICM"
"""Where the letters stand that every DICOM file has (DICOM PS3.10, section 7.1)."""
BARE_START = re.compile(rb"[\x02\x08]\x00[\x00-\x18]\x00(?:(?:UL|UI|CS|SH|OB)|[\x02-\x40]\x00\x00\x00)")
"""How DICOM files begin that lack the first 132 bytes: the tag of one of the first elements, then its VR or length."""
BARE_TAGS = re.compile(rb"\x08\x00[\x00-\x70]\x00")
"""Tags of the group that describes the object; a bare file has several of them within its first bytes."""
MIN_BARE_TAGS = 2
BY_PRODUCTS = ("thumbs.db", "desktop.ini", "dicomdir")
"""Files that operating systems and media put beside images, in lower case."""
MAX_LISTED = 8
ZARR_FILES = (".zgroup", ".zattrs", "zarr.json")
"""One of them lies at the top of every OME-Zarr."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundle:
    """The files of a folder or archive, by their paths inside it with slashes, in the order of these.

    Attributes:
        path: the folder or archive.
        sizes: bytes of every file, as far as the archive tells the reference.
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
            raise UserError(f"{self.path}: {name!r} claims to hold {size} bytes; more than {LIMIT_BYTES} are refused.")
        try:
            with self.start(name) as stream:
                return stream.read(count)
        except (*DAMAGE, RuntimeError) as error:
            raise UserError(f"{self.path}: {name!r} cannot be read ({error}). Is it whole?") from error

    def is_dicom(self, name: str) -> bool:
        """Return whether a file is DICOM by its first bytes; the directory of a medium is none.

        Old files begin with their first element instead of a preamble and the letters DICM.
        """
        if is_hidden(name) or PurePosixPath(name).name.upper() == "DICOMDIR":
            return False
        start = self.read(name, DICOM_START + len(DICOM_MARK))
        is_bare = BARE_START.match(start) is not None and len(BARE_TAGS.findall(start)) >= MIN_BARE_TAGS
        return start[DICOM_START:] == DICOM_MARK or is_bare


def is_hidden(path: str) -> bool:
    """Return whether a file is hidden, such as those that some systems put beside pictures."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(path).parts)


def is_picture(path: str) -> bool:
    """Return whether a file is a picture by its name; hidden files are not."""
    return path.lower().endswith(PICTURES) and not is_hidden(path)


def other_files(names: Iterable[str]) -> list[str]:
    """Return the files that are neither pictures by their names, nor hidden, nor by-products of a system."""
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
        UserError: there is nothing at `path`, or it cannot be read, or a link in the folder leads out of it.
    """
    if path.is_dir():
        files = _files_below(path)
        sizes = {name: file.stat().st_size for name, file in files.items()}
        yield Bundle(path, sizes, lambda name: files[name].open("rb"))
        return
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    try:
        is_zip = zipfile.is_zipfile(path)
        archive = zipfile.ZipFile(path) if is_zip else None
    except DAMAGE as error:
        raise UserError(f"{path}: cannot be read as a zip archive ({error}). Is it whole?") from error
    if archive is None and path.suffix.lower() == ".zip":
        raise UserError(f"{path}: is no zip archive, or only a part of one. Is it whole?")
    if archive is None:
        yield Bundle(path, {path.name: path.stat().st_size}, lambda _: path.open("rb"))
        return
    with archive:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        sizes = {name: members[name].file_size for name in sorted(members)}
        yield Bundle(path, sizes, lambda name: archive.open(members[name]))


def _files_below(folder: Path) -> dict[str, Path]:
    """The files of a folder and of those below it; links to folders are not followed."""
    files = [Path(top) / name for top, _, names in os.walk(folder) for name in names]
    inside = folder.resolve()
    for file in files:
        if file.is_symlink() and not (file.is_file() and file.resolve().is_relative_to(inside)):
            raise UserError(f"{file} is a link that leads out of {folder}, or nowhere; put the file itself there.")
    named = {file.relative_to(folder).as_posix(): file for file in files if file.is_file()}
    return dict(sorted(named.items()))


def write_archive(path: Path, files: Iterable[tuple[str, bytes]], *, compressed: bool) -> None:
    """Write a zip archive; the same files always give the same bytes.

    Args:
        path: the archive; see `pipeline.files.replacing` for writing it whole or not at all.
        files: names and contents.
        compressed: whether to compress them.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, FIRST_DAY)
            entry.external_attr = PERMISSIONS
            entry.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
            archive.writestr(entry, content)


def pack(folder: Path, output: Path) -> None:
    """Pack the images of a folder and of the folders below it into a zip archive, uncompressed as most images are.

    An OME-Zarr is packed whole; of other folders, the pictures and the DICOM files.

    Raises:
        UserError: there is no image, or one cannot be read, or a link leads out of the folder.
    """
    with opened(folder) as bundle:
        is_zarr = any(name in ZARR_FILES for name in bundle.sizes)
        chosen = [name for name in bundle.sizes if is_zarr or is_picture(name) or bundle.is_dicom(name)]
        if not chosen:
            raise UserError(
                f"{folder} is a folder without pictures ({', '.join(PICTURES)}) and without DICOM files; "
                "name a file, or a folder of these."
            )
        left_out = other_files(sorted(bundle.sizes.keys() - set(chosen)))
        if left_out:
            logger.warning("%s: files that are neither PNG, JPEG nor DICOM are left out: %s", folder, listed(left_out))
        odd = next((name for name in chosen if not name.isprintable()), None)
        if odd is not None:
            raise UserError(f"{folder}: the name {odd!r} has characters that cannot be printed; rename the file.")
        write_archive(output, ((name, bundle.read(name)) for name in chosen), compressed=False)
