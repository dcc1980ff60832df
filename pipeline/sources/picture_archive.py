"""Collections of 2-D pictures (JPEG, PNG) in a zip archive.

Pictures are read into memory; nothing is extracted to a path given by the archive.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.sources.bundle import LIMIT_BYTES, PICTURES, is_picture
from pipeline.sources.members import DAMAGE


def shard_of(name: str, count: int) -> int:
    """Return the index of the part that contains a picture: the SHA-256 of its name modulo `count`."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % count


def picture_names(archive: Path, folder: str | None, shard: tuple[int, int] = (0, 1)) -> list[str]:
    """Return the names of the pictures of a part of a folder inside an archive, relative to that folder, sorted.

    Args:
        archive: zip file.
        folder: folder inside the archive, including its subfolders; None for the whole archive.
        shard: index of the part and number of parts.

    Raises:
        UserError: the archive cannot be read, or the folder contains no pictures.
    """
    with _opened(archive) as content:
        listed = sorted({name for name in content.namelist() if is_picture(name)})
    start = f"{folder}/" if folder else ""
    names = [name.removeprefix(start) for name in listed if name.startswith(start)]
    if not names:
        where = f"no pictures in a folder {folder!r}; {_nearest(str(folder), listed)}" if folder else "no pictures"
        raise UserError(f"{archive}: contains {where} ({', '.join(PICTURES)}).")
    index, count = shard
    return [name for name in names if shard_of(name, count) == index]


def _nearest(folder: str, pictures: Sequence[str]) -> str:
    folders = {str(parent) for name in pictures for parent in PurePosixPath(name).parents} - {"."}
    return plugins.suggest(folder, sorted(folders)) if folders else "its pictures are not in folders"


def read_pictures(archive: Path, folder: str | None, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each picture listed by `picture_names`.

    Raises:
        UserError: the archive is damaged, or a file is too large.
    """
    start = f"{folder}/" if folder else ""
    with _opened(archive) as content:
        for name in names:
            yield name, _read(archive, content, start + name)


def _read(archive: Path, content: zipfile.ZipFile, name: str) -> bytes:
    info = content.getinfo(name)
    if info.flag_bits & 1:
        raise UserError(f"{archive}: {name!r} is encrypted.")
    if info.file_size > LIMIT_BYTES:
        size = info.file_size
        raise UserError(f"{archive}: {name!r} claims to contain {size} bytes; the limit is {LIMIT_BYTES}.")
    try:
        return content.read(info)
    except DAMAGE as error:
        raise UserError(f"{archive}: {name!r} is damaged ({error}). Delete the archive and run again.") from error


def _opened(archive: Path) -> zipfile.ZipFile:
    if archive.is_dir():
        raise UserError(
            f"{archive}: is a folder; pack it into a zip archive, or add it to the sources of the configuration, and "
            "the workflow packs it."
        )
    if not archive.is_file():
        raise UserError(f"{archive}: no such file.")
    try:
        return zipfile.ZipFile(archive)
    except DAMAGE as error:
        raise UserError(f"{archive}: is not a zip archive of pictures, or is damaged ({error}).") from error
