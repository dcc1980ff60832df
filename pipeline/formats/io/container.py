"""Images between the steps: one safetensors file per volume, which is memory-mapped when it is read.

The header contains the records of the image as JSON, the body the intensities ("data"), the masks and, if the image
was drawn from a label map, its labels. In the body the axis of the slices comes first, so that a slice is
contiguous and is read without the others; in memory the axes are x, y, z for any plane.
"""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.formats import ROOM
from pipeline.image.blocks import contiguous
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.image.uncertainty_map import UncertaintyMap
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage

SUFFIX = ".safetensors"
MASK = "mask."
"""Prefix of the names of masks in a file."""
LABELS = "labels"
"""Name of the label map in a file; it is no part of the image, and only the training reads it."""
TITLES: dict[type[Image], str] = {
    Image: "an image",
    LowResolutionImage: "a low-resolution image with its forward model",
    UncertaintyMap: "an uncertainty map",
}
OTHER_VERSION = "was written by another version of BrainSR. Delete it and run again."
KINDS = {kind.__name__: kind for kind in TITLES}

AnyImage = TypeVar("AnyImage", bound=Image)


def write_image(path: Path, image: Image, labels: NDArray[np.int16] | None = None) -> None:
    """Write an image, whole or not at all.

    Args:
        path: the file.
        image: the image.
        labels: label map from which it was drawn, of the same shape; None for other images.
    """
    first = image.slice_axis if image.slicing else 0
    arrays = {"data": image.data, **{f"{MASK}{name}": mask for name, mask in image.masks.items()}}
    arrays = arrays if labels is None else {**arrays, LABELS: labels}
    arrays = {name: contiguous(np.moveaxis(array, first, 0)) for name, array in arrays.items()}
    metadata = {"first_axis": first, "kind": type(image).__name__, "records": _to_json(image)}
    with replacing(path) as partial:
        try:
            save_file(arrays, partial, metadata={"image": json.dumps(metadata, sort_keys=True)})
        except SafetensorError as error:
            raise UserError(f"cannot write {path}: {error}. Is there room on the disk?") from error


def read_image(path: Path, kind: type[AnyImage] = Image) -> AnyImage:
    """Read an image that `write_image` wrote.

    Args:
        path: the file.
        kind: class that the image must have, such as `LowResolutionImage`.

    Raises:
        UserError: the file is missing, damaged, contains no such image or was written by another version of BrainSR.
    """
    with _open(path) as stream:
        metadata = _metadata(path, stream)
        first = metadata["first_axis"]
        names = [name for name in stream.keys() if name != LABELS]  # noqa: SIM118
        arrays = {name: contiguous(np.moveaxis(stream.get_tensor(name), 0, first)) for name in names}
        return _image(path, metadata, arrays, kind)


def map_image(path: Path, kind: type[AnyImage] = Image) -> AnyImage:
    """Map an image that `write_image` wrote: intensities and masks are read from disk when they are used.

    Args:
        path: the file.
        kind: as in `read_image`.

    Raises:
        UserError: as `read_image`.
    """
    with _open(path) as stream:
        names = [name for name in stream.keys() if name != LABELS]  # noqa: SIM118
        return _image(path, _metadata(path, stream), {name: map_array(path, name) for name in names}, kind)


def map_labels(path: Path) -> NDArray[np.int16] | None:
    """Map the label map from which an image was drawn; None for other images.

    Raises:
        UserError: the file is missing or damaged.
    """
    with _open(path) as stream:
        known = LABELS in stream.keys()  # noqa: SIM118
    return map_array(path, LABELS) if known else None


def _image(path: Path, metadata: dict[str, Any], arrays: dict[str, np.ndarray], kind: type[AnyImage]) -> AnyImage:
    found = KINDS[metadata["kind"]]
    if not issubclass(found, kind):
        raise UserError(f"{path}: contains {TITLES[found]}, expected was {TITLES[kind]}. Was another file meant?")
    masks = {name.removeprefix(MASK): array for name, array in arrays.items() if name.startswith(MASK)}
    try:
        image = found(data=arrays["data"], masks=masks, **_from_json(found, metadata["records"]))
        unchanged = _to_json(image) == metadata["records"]
    except (KeyError, TypeError, UserError, ValidationError):
        unchanged = False
    if not unchanged:
        raise UserError(f"{path}: {OTHER_VERSION}")
    return image  # pyright: ignore[reportReturnType, reportPossiblyUnboundVariable]


def _to_json(image: Image) -> dict[str, Any]:
    """Return all fields of an image but its arrays, as plain values of JSON."""
    records: dict[str, Any] = {}
    for name in (one.name for one in fields(image) if one.name not in ("data", "masks")):
        value = getattr(image, name)
        if name == "affine":
            records[name] = np.asarray(value, dtype=np.float64).tolist()
        elif isinstance(value, ForwardModel):
            records[name] = value.to_json()
        else:
            kind = type(value) if isinstance(value, FileHeader) else _field_types(type(image))[name]
            records[name] = _adapter(kind).dump_python(value, mode="json")
    return records


def _from_json(kind: type[Image], records: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an image from plain values; the inverse of `_to_json`."""
    found: dict[str, Any] = {}
    for name, value in records.items():
        if name == "affine":
            found[name] = np.array(value)
        elif name == "forward_model":
            found[name] = ForwardModel.from_json(value)
        else:
            wanted = _header_of(value["format"]) if name == "header" else _field_types(kind)[name]
            found[name] = _adapter(wanted).validate_python(value)
    return found


def _header_of(name: str) -> type[FileHeader]:
    """Return the class of the headers of a format, by the name of its module."""
    return plugins.load(ROOM, name).HEADER if name else FileHeader


@cache
def _field_types(kind: type[Image]) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _metadata(path: Path, stream: Any) -> dict[str, Any]:
    try:
        metadata = json.loads((stream.metadata() or {})["image"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: contains no BrainSR image. Was another file meant?") from error
    if metadata.keys() != {"first_axis", "kind", "records"} or metadata["kind"] not in KINDS:
        raise UserError(f"{path}: {OTHER_VERSION}")
    return metadata


def _open(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        if path.suffix != SUFFIX:  # such as a scan, which must not be deleted
            raise UserError(f"{path}: is no volume of a run; name a file {SUFFIX}, as in results/RUN.") from error
        raise UserError(f"cannot read {path}: {error}. Delete it and run again.") from error


def map_array(path: Path, name: str) -> np.ndarray:
    """Memory-map "data", "labels" or "mask.<name>" of a file, read-only.

    The format: 8 bytes with the header's length, the header (JSON: dtype, shape and place of every array), the body.

    Raises:
        UserError: the file is missing or damaged.
    """
    dtypes = {"F32": np.float32, "BOOL": np.bool_, "I16": np.int16}
    with _open(path) as whole, path.open("rb") as stream:  # safe_open checks that the file is whole
        first = _metadata(path, whole)["first_axis"]
        length = int.from_bytes(stream.read(8), "little")
        entry = json.loads(stream.read(length))[name]
    start = 8 + length + entry["data_offsets"][0]
    stored = np.memmap(path, dtype=dtypes[entry["dtype"]], mode="r", offset=start, shape=tuple(entry["shape"]))
    return np.moveaxis(stored, 0, first)
