"""OME-Zarr (OME-NGFF 0.4 and 0.5), as a folder or zipped without compression, read and written region by region."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
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
from pipeline.image.intensity import IntensityMap
from pipeline.image.ngff import ZARR_FORMAT, Multiscale, attributes, parse
from pipeline.image.tiled import Plane, TiledImage

SUFFIXES = (".zarr", ".ome.zarr.zip", ".zarr.zip")
ZIPPED = ".zip"
DESCRIPTIONS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
"""Files of a store that hold no pixels."""
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
"""What zarr raises when a store is broken."""
MOST_CHUNK_BYTES = 512 << 20
"""A chunk is unpacked whole, so it must fit into memory."""
LEAST_STORED = 0.01
"""Share of the chunks that must be there: those of one colour may be left out, but hardly all."""
NO_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest date that zip can say: archives of the same image have the same bytes."""


@contextmanager
def open_tiled(path: Path, series: str | None = None) -> Iterator[TiledImage]:
    """Opens the finest resolution of an image; see pipeline.image.tiled.

    Args:
        path: folder, or zip of one.
        series: name of the group, where the store holds several images (the layout of bioformats2raw).

    Raises:
        UserError: the store is missing, broken, hostile, or holds no image of OME-NGFF 0.4 or 0.5.
    """
    names = stored_names(path)
    with _store(path) as store:
        with _telling(path):
            root = zarr.open_group(store, path=_root(names), mode="r")
            group = _image_group(path, root, series)
            multiscale = parse(group.attrs.asdict())
            array = group[multiscale.path]
        if not isinstance(array, zarr.Array):
            raise UserError(f"{path}: {multiscale.path!r} is no array; the image is not whole.")
        _check_array(path, array, multiscale, names)
        yield TiledImage(
            path=path,
            leading=multiscale.axis_names[:-2],
            shape=tuple(array.shape),
            intensity=IntensityMap(dtype=array.dtype.newbyteorder("=").name),
            voxel_um=multiscale.voxel_um,
            metadata=multiscale,
            read_region=lambda plane, rows, columns: _read(path, array, plane, rows, columns),
            zarr_format=ZARR_FORMAT[multiscale.version],
        )


def shape_of(path: Path, series: str | None) -> tuple[int, ...]:
    """Returns the sizes along all axes; errors as in `open_tiled`."""
    with open_tiled(path, series) as image:
        return image.shape


def check_output(path: Path) -> None:
    """Makes sure that a result may take the place of what stands at `path`.

    Raises:
        UserError: something else than an OME-Zarr of the same kind stands there.
    """
    is_zip = path.name.lower().endswith(ZIPPED)
    if path.exists() and path.is_dir() == is_zip:
        raise UserError(f"cannot write {path}: a {'folder' if is_zip else 'file'} of this name stands there.")
    if path.is_dir() and any(path.iterdir()) and not any((path / name).is_file() for name in DESCRIPTIONS):
        raise UserError(f"cannot write {path}: a folder that is no zarr stands there; choose another name.")


def deliver(levels: Path, image: TiledImage, factor: int, facts: Mapping[str, Any], output: Path) -> None:
    """Makes the zarr group that holds a restored pyramid an OME-Zarr and moves it to `output`.

    Args:
        levels: folder of the group, with arrays "0", "1", ...; on the disk of `output`.
        image: what it was restored from.
        factor: how many times smaller its pixels are.
        facts: what BrainSR did.
        output: folder, or file that ends in .zip.
    """
    publish(levels, image.metadata.refined(factor), facts, output)  # pyright: ignore[reportAttributeAccessIssue]


def publish(levels: Path, multiscale: Multiscale, facts: Mapping[str, Any], output: Path) -> None:
    """Describes the arrays of a zarr group and moves it to `output`; arguments as in `deliver`."""
    group = zarr.open_group(levels, mode="r+")
    described = attributes(multiscale, sum(1 for _ in group.array_keys()), {"brainsr": facts} if facts else None)
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
    """Returns the names of all files of a store, relative to it, with "/" between folders.

    Raises:
        UserError: there is no such store, or a link leads out of it.
    """
    # The stage download packs a folder into a zip that keeps the folder's name.
    if path.is_file() and (path.name.lower().endswith(ZIPPED) or zipfile.is_zipfile(path)):
        try:
            with zipfile.ZipFile(path) as archive:
                return archive.namelist()
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: cannot be read as zip ({error}). Is it whole?") from error
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


def _root(names: Sequence[str]) -> str:
    """Returns where the group lies: in a zip, often in a folder of its own."""
    if any(name in DESCRIPTIONS for name in names):
        return ""
    tops = {name.split("/")[0] for name in names}
    return tops.pop() if len(tops) == 1 else ""


@contextmanager
def _store(path: Path) -> Iterator[Store]:
    store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _telling(path: Path, what: str = "") -> Iterator[None]:
    """Turns whatever zarr raises about a broken store into one message."""
    try:
        yield
    except UserError:
        raise
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: cannot be read as OME-Zarr{what} ({reason}). Is it whole?") from error


def _image_group(path: Path, root: Any, series: str | None) -> Any:
    """Returns the group of the wanted image."""
    found = root.attrs.asdict()
    if "bioformats2raw.layout" not in found.get("ome", found):
        if series is not None:
            raise UserError(f"{path}: holds one image and no series; leave the series out.")
        return root
    names = sorted((name for name in root.group_keys() if name.isdecimal()), key=int)
    if series is None and len(names) == 1:
        series = names[0]
    if series not in names:
        asked = "choose one of its" if series is None else f"there is no series {series!r}; choose one of the"
        raise UserError(f"{path}: {asked} {len(names)} images by the key `series`: {', '.join(names)}.")
    return root[series]


def _check_array(path: Path, array: Any, multiscale: Multiscale, names: Sequence[str]) -> None:
    """Refuses what cannot be an image, or cannot be read in bounded memory, before anything is unpacked."""
    where = f"{path}: its array {multiscale.path!r}"
    if len(array.shape) != len(multiscale.axes):
        raise UserError(f"{where} has shape {array.shape}, but there are axes {multiscale.axis_names!r}.")
    if 0 in array.shape:
        raise UserError(f"{where} is empty, its shape is {array.shape}.")
    if array.dtype.kind not in "uif":
        raise UserError(f"{where} has values of type {array.dtype}, not intensities; integers or floats are needed.")
    if math.prod(array.chunks) * array.dtype.itemsize > MOST_CHUNK_BYTES:
        raise UserError(
            f"{where} has chunks of {array.chunks} pixels, more than {MOST_CHUNK_BYTES >> 20} MiB each; "
            "write it anew with smaller chunks, such as 512 x 512."
        )
    prefix = f"{array.path}/"
    stored = sum(name.startswith(prefix) and name.rsplit("/", 1)[-1] not in DESCRIPTIONS for name in names)
    files = array.shards or array.chunks
    expected = math.prod(-(-size // side) for size, side in zip(array.shape, files, strict=True))
    if stored < LEAST_STORED * expected:
        raise UserError(
            f"{where} has shape {array.shape}, which takes {expected} chunks, but {stored} are there; "
            "the copy is not whole, or its description is wrong."
        )


def _read(path: Path, array: Any, plane: Plane, rows: slice, columns: slice) -> NDArray:
    with _telling(path, f" at rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}"):
        region = np.asarray(array[(*plane, rows, columns)])
        return region.astype(region.dtype.newbyteorder("="), copy=False)
