"""OME-Zarr (OME-NGFF 0.4 and 0.5), as a folder or zipped without compression, read and written region by region."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.storage import LocalStore, ZipStore

from pipeline.errors import UserError
from pipeline.files import publish_folder, replacing
from pipeline.formats._ngff import ZARR_FORMAT, Multiscale, attributes, level_paths, parse
from pipeline.formats.tiled import Factors, Plane, TiledImage
from pipeline.image.intensity import IntensityMap
from pipeline.sources.bundle import is_hidden

ZIPPED = ".zip"
GROUP_FILES = ("zarr.json", ".zgroup")
DESCRIPTIONS = (*GROUP_FILES, ".zarray", ".zattrs", ".zmetadata")
"""Metadata files of a store."""
DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    AttributeError,
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
)
"""Exceptions that zarr raises on broken stores."""
MAX_CHUNK_BYTES = 512 << 20
"""Maximum size of a chunk, which is decoded as a whole."""
MAX_LISTED = 8
"""Maximum number of names listed in a message."""
MIN_STORED = 0.01
"""Minimum share of chunks that exist: constant chunks may be left out, but hardly all."""
NO_DATE = (1980, 1, 1, 0, 0, 0)
"""First date of the zip format; archives of the same image always have the same bytes."""

logger = logging.getLogger(__name__)


@contextmanager
def open_tiled(path: Path, series: str | None = None) -> Iterator[TiledImage]:
    """Open the finest resolution of an image; see pipeline.formats.tiled.

    Args:
        path: folder, or zip of one.
        series: name of the group, where the store contains several images (the layout of bioformats2raw).

    Raises:
        UserError: the store is missing, broken, hostile, or contains no image of OME-NGFF 0.4 or 0.5.
    """
    path = _image_of_level(path)
    names = stored_names(path)
    top, series = _root(path, names, series)
    with _store(path) as store:
        with _telling(path):
            root = zarr.open_group(store, path=top, mode="r")
            group, series = _image_group(path, root, series)
            multiscale = _parsed(path, group.attrs.asdict(), series)
            array = group[multiscale.path]
        if not isinstance(array, zarr.Array):
            raise UserError(f"{path}: {multiscale.path!r} is not an array; the image is incomplete.")
        _check_array(path, array, multiscale, names)
        _check_is_finest(path, group, array, level_paths(group.attrs.asdict(), series))
        _tell_labels(path, group.path, names)
        yield TiledImage(
            path=path,
            leading=multiscale.axis_names[:-2],
            shape=tuple(array.shape),
            intensity=IntensityMap(dtype=array.dtype.newbyteorder("=").name),
            voxel_um=multiscale.voxel_um,
            metadata=multiscale,
            read_region=lambda plane, rows, columns: _read(path, array, plane, rows, columns),
            zarr_format=ZARR_FORMAT[multiscale.version],
            warnings=multiscale.warnings,
        )


def shape_of(path: Path, series: str | None) -> tuple[int, ...]:
    """Return the sizes along all axes; errors as in `open_tiled`."""
    with open_tiled(path, series) as image:
        return image.shape


def check_output(path: Path) -> None:
    """Check that a result may replace `path`.

    Raises:
        UserError: something else than an OME-Zarr of the same kind is there.
    """
    is_zip = path.name.lower().endswith(ZIPPED)
    if path.exists() and path.is_dir() == is_zip:
        raise UserError(f"cannot write {path}: a {'folder' if is_zip else 'file'} has this name.")
    if path.is_dir() and any(path.iterdir()) and not any((path / name).is_file() for name in DESCRIPTIONS):
        raise UserError(f"cannot write {path}: a folder that is not a zarr exists there; choose another name.")


def deliver(levels: Path, image: TiledImage, factors: Factors, processing: Mapping[str, Any], output: Path) -> None:
    """Add OME-Zarr metadata to the zarr group of a restored pyramid, and move it to `output`.

    Args:
        levels: folder of the group, with arrays "0", "1", ...; on the disk of `output`.
        image: the source.
        factors: how many times smaller its voxels are along z, rows and columns.
        processing: parameters of the restoration, which are stored in the file.
        output: folder, or file that ends in .zip.
    """
    publish(levels, image.metadata.refined(factors), processing, output)  # pyright: ignore[reportAttributeAccessIssue]


def publish(levels: Path, multiscale: Multiscale, processing: Mapping[str, Any], output: Path) -> None:
    """Write the metadata of a zarr group, and move it to `output`; arguments as in `deliver`."""
    group = zarr.open_group(levels, mode="r+")
    described = attributes(
        multiscale, sum(1 for _ in group.array_keys()), {"brainsr": processing} if processing else None
    )
    # In the order of the keys' names, whatever files the values have been through.
    group.attrs.put(json.loads(json.dumps(described, sort_keys=True)))
    if not output.name.lower().endswith(ZIPPED):
        output.parent.mkdir(parents=True, exist_ok=True)
        publish_folder(levels, output)
        return
    with replacing(output) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(path for path in levels.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(levels).as_posix(), NO_DATE)
            archive.writestr(entry, file.read_bytes())


def stored_names(path: Path) -> list[str]:
    """Return the names of all files of a store, relative to it, with "/" between folders.

    Raises:
        UserError: there is no such store, or a link leads out of it.
    """
    # The stage download packs a folder into a zip that keeps the folder's name.
    if path.is_file() and (path.name.lower().endswith(ZIPPED) or zipfile.is_zipfile(path)):
        try:
            with zipfile.ZipFile(path) as archive:
                return archive.namelist()
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: cannot be read as zip ({error}). Is it complete?") from error
    if not path.is_dir():
        what = "is a file; OME-Zarr is a folder, or a zip of one" if path.is_file() else "there is no such folder"
        raise UserError(f"{path}: {what}.")
    home = path.resolve()
    found: list[str] = []
    for top, folders, files in os.walk(path):
        for name in (*folders, *files):
            one = Path(top) / name
            if one.is_symlink() and not one.resolve().is_relative_to(home):
                raise UserError(f"{path}: {one.relative_to(path)} is a link that leads out of it; copy the file there.")
        found.extend((Path(top) / name).relative_to(path).as_posix() for name in files)
    return found


def accepts(path: Path) -> bool:
    """Return whether a folder or zip archive is a zarr store, or contains one in a subfolder."""
    if path.is_dir():
        places = (path, *(one for one in path.iterdir() if one.is_dir() and not is_hidden(one.name)))
        return _is_array(path) or any((place / name).is_file() for place in places for name in GROUP_FILES)
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    return bool(_tops(stored_names(path)))


def _tops(names: Sequence[str]) -> list[str]:
    """Return the topmost folders of a store with a group; "" for the store itself."""
    tops = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in GROUP_FILES}
    tops = {top for top in tops if not is_hidden(top)}
    highest = min((top.count("/") + bool(top) for top in tops), default=0)
    return sorted(top for top in tops if top.count("/") + bool(top) == highest)


def _root(path: Path, names: Sequence[str], series: str | None) -> tuple[str, str | None]:
    """Return the path of the group, and the selected image in it.

    A zip or folder often contains the group in a folder of its own. Of several groups, `series` is the name of one, or
    NAME/IMAGE where that one contains several images.

    Raises:
        UserError: there are several, and none is chosen.
    """
    tops = _tops(names)
    if len(tops) <= 1:
        return (tops[0] if tops else ""), series
    chosen = next((top for top in tops if f"{series}/".startswith(f"{top}/")), None)
    if series is None or chosen is None:
        asked = "choose one" if series is None else f"there is no {series!r}; choose one"
        more = f" and {len(tops) - MAX_LISTED} more" if len(tops) > MAX_LISTED else ""
        listed = ", ".join(tops[:MAX_LISTED]) + more
        raise UserError(f"{path}: contains {len(tops)} OME-Zarr; {asked} by the key `series`: {listed}.")
    return chosen, series.removeprefix(chosen).removeprefix("/") or None


def _image_of_level(path: Path) -> Path:
    """Return the image that a folder is a level of, where it is its finest level; else the folder itself.

    Raises:
        UserError: it is a coarser level, or an array of no image.
    """
    if not path.is_dir() or not _is_array(path):
        return path
    for parent in path.resolve().parents:
        if not any((parent / name).is_file() for name in GROUP_FILES):
            break
        with _telling(parent), _store(parent) as store:
            found: Any = zarr.open_group(store, mode="r").attrs.asdict()
            entries = found.get("ome", found).get("multiscales") or []
            levels = [[str(level.get("path")) for level in entry.get("datasets", [])] for entry in entries]
        own = path.resolve().relative_to(parent).as_posix()
        if any(own in one for one in levels):
            if len(levels) == 1 and levels[0][0] == own:
                logger.info("%s: is the finest level of %s, which is read", path, parent)
                return parent
            raise UserError(
                f"{path}: is a coarser level of the image {parent}, or of one of its images; name {parent}."
            )
    raise UserError(f"{path}: is an array of zarr that belongs to no image of OME-NGFF; name the image.")


def _is_array(path: Path) -> bool:
    if (path / ".zarray").is_file():
        return True
    described = path / "zarr.json"
    if not described.is_file():
        return False
    with _telling(path):
        return json.loads(described.read_text(encoding="utf-8")).get("node_type") == "array"


def _tell_labels(path: Path, group: str, names: Sequence[str]) -> None:
    """Warn that label masks are not kept."""
    prefix = f"{group}/labels/".removeprefix("/")
    inside = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    if labels := sorted({name.split("/")[0] for name in inside if "/" in name}):
        logger.info("%s: its labels (%s) are not written with a result", path, ", ".join(labels))


@contextmanager
def _store(path: Path) -> Iterator[Store]:
    store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _telling(path: Path, what: str = "") -> Iterator[None]:
    """Convert exceptions of zarr about a broken store to one message."""
    try:
        yield
    except UserError:
        raise
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: cannot be read as OME-Zarr{what} ({reason}). Is it complete?") from error


def _image_group(path: Path, root: Any, series: str | None) -> tuple[Any, str | None]:
    """Return the group of the selected image, and the image in that group."""
    found = root.attrs.asdict()
    content = found.get("ome", found)
    if "bioformats2raw.layout" not in content:
        if series is not None and len(content.get("multiscales") or ()) == 1:
            raise UserError(f"{path}: contains one image and no series; leave the series out.")
        return root, series
    names = sorted((name for name in root.group_keys() if name.isdecimal()), key=int)
    if series is None and len(names) == 1:
        series = names[0]
    if series not in names:
        asked = "choose one of its" if series is None else f"there is no series {series!r}; choose one of the"
        raise UserError(f"{path}: {asked} {len(names)} images by the key `series`: {', '.join(names)}.")
    return root[series], None


def _parsed(path: Path, found: Mapping[str, Any], series: str | None) -> Multiscale:
    try:
        return parse(found, series)
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as OME-Zarr: {error}.") from error


def _check_array(path: Path, array: Any, multiscale: Multiscale, names: Sequence[str]) -> None:
    """Check that an array is an image and can be read in bounded memory, before anything is decoded."""
    where = f"{path}: its array {multiscale.path!r}"
    if len(array.shape) != len(multiscale.axes):
        raise UserError(f"{where} has shape {array.shape}, but there are axes {multiscale.axis_names!r}.")
    if 0 in array.shape:
        raise UserError(f"{where} is empty, its shape is {array.shape}.")
    if array.dtype.kind not in "uif":
        raise UserError(f"{where} has values of type {array.dtype}, not intensities; integers or floats are needed.")
    if math.prod(array.chunks) * array.dtype.itemsize > MAX_CHUNK_BYTES:
        raise UserError(
            f"{where} has chunks of {array.chunks} pixels, more than {MAX_CHUNK_BYTES >> 20} MiB each; "
            "write it again with smaller chunks, such as 512 x 512."
        )
    files = array.shards or array.chunks
    grid = tuple(-(-size // side) for size, side in zip(array.shape, files, strict=True))
    expected = math.prod(grid)
    prefix = f"{array.path}/"
    keys = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    stored = sum(_is_chunk(key, grid, array.metadata.encode_chunk_key) for key in keys)
    if MIN_STORED * expected <= stored < expected:
        logger.info(
            "%s: %d of %d chunks are not stored; they count as %s", where, expected - stored, expected, array.fill_value
        )
    if stored < MIN_STORED * expected:
        raise UserError(
            f"{where} has shape {array.shape}, which takes {expected} chunks, but {stored} are there; "
            "the copy is not whole, or its description is wrong."
        )


def _check_is_finest(path: Path, group: Any, array: Any, levels: Sequence[str]) -> None:
    """Check that the first resolution is the finest, as the standard requires."""
    for level in levels[1:]:
        try:
            other = group[level]
        except DAMAGE:  # of the coarser levels nothing is read
            continue
        if math.prod(other.shape) > math.prod(array.shape):
            raise UserError(
                f"{path}: its datasets are not in the order of OME-NGFF, the finest first: {levels[0]!r} of shape "
                f"{array.shape} comes before {level!r} of shape {other.shape}. Reorder `datasets` in its metadata."
            )


def _is_chunk(key: str, grid: tuple[int, ...], encode: Callable[[tuple[int, ...]], str]) -> bool:
    """Return whether a file of an array is one of its chunks."""
    place = tuple(int(number) for number in re.findall("[0-9]+", key.removeprefix("c")))
    is_inside = len(place) == len(grid) and all(index < count for index, count in zip(place, grid, strict=True))
    return is_inside and encode(place) == key


def _read(path: Path, array: Any, plane: Plane, rows: slice, columns: slice) -> NDArray:
    with _telling(path, f" at rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}"):
        region = np.asarray(array[(*plane, rows, columns)])
        return region.astype(region.dtype.newbyteorder("="), copy=False)
