"""Images between the stages: one safetensors file a volume, which is memory-mapped when it is read.

The header of the file holds the metadata as JSON, the body the intensities ("data") and the masks. In the body the
axis of the slices comes first, so that a slice lies in one piece and is read without the others; in memory the axes
are x, y, z whatever the plane.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.image.blocks import contiguous
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SUFFIX = ".safetensors"
MASK = "mask."
"""Begins the names of masks in a file."""


def write_image(path: Path, image: Image) -> None:
    """Write an image, whole or not at all."""
    first = int(image.facts.get("slice_axis", 0))
    arrays = {"data": image.data, **{f"{MASK}{name}": mask for name, mask in image.masks.items()}}
    arrays = {name: contiguous(np.moveaxis(array, first, 0)) for name, array in arrays.items()}
    metadata = {
        "first_axis": first,
        "affine": np.asarray(image.affine, dtype=np.float64).tolist(),
        "intensity": asdict(image.intensity),
        "axes": image.axes,
        "unit": image.unit,
        "origin": image.origin,
        "facts": image.facts,
    }
    with replacing(path) as partial:
        try:
            save_file(arrays, partial, metadata={"image": json.dumps(metadata, sort_keys=True)})
        except SafetensorError as error:
            raise UserError(f"cannot write {path}: {error}. Is there room on the disk?") from error


def read_image(path: Path) -> Image:
    """Read an image that `write_image` wrote.

    Raises:
        UserError: the file is missing, damaged or holds no image.
    """
    with _open(path) as stream:
        metadata = _metadata(path, stream)
        first = metadata["first_axis"]
        arrays = {name: contiguous(np.moveaxis(stream.get_tensor(name), 0, first)) for name in stream.keys()}  # noqa: SIM118
        return _image(metadata, arrays)


def _image(metadata: dict[str, Any], arrays: dict[str, np.ndarray]) -> Image:
    return Image(
        data=arrays["data"],
        affine=np.array(metadata["affine"]),
        intensity=_intensity(metadata["intensity"]),
        axes=tuple(metadata["axes"]),
        unit=metadata["unit"],
        origin=metadata["origin"],
        masks={name.removeprefix(MASK): array for name, array in arrays.items() if name.startswith(MASK)},
        facts=metadata["facts"],
    )


def map_image(path: Path) -> Image:
    """Map an image that `write_image` wrote: its intensities and masks are read when they are used.

    Raises:
        UserError: as `read_image`.
    """
    with _open(path) as stream:
        names = list(stream.keys())
        return _image(_metadata(path, stream), {name: map_array(path, name) for name in names})


def _intensity(values: dict[str, Any]) -> IntensityMap:
    """Undo `asdict` after the values were JSON, which knows no tuples."""
    read: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
    return IntensityMap(**read)


def read_facts(path: Path) -> dict[str, Any]:
    """Read only what the stages recorded about a volume; errors as `read_image`."""
    with _open(path) as stream:
        return _metadata(path, stream)["facts"]


def _metadata(path: Path, stream: Any) -> dict[str, Any]:
    try:
        metadata = json.loads((stream.metadata() or {})["image"])
        return {"first_axis": 0, **metadata}
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: holds no image of BrainSR. Was another file named by mistake?") from error


def _open(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path}: {error}. Delete it and run again.") from error


def map_array(path: Path, name: str) -> np.ndarray:
    """Memory-map "data" or "mask.<name>" of a file, read-only, so that only what is used is read.

    The format: 8 bytes with the header's length, the header (JSON: dtype, shape and place of every array), the body.

    Raises:
        UserError: the file is missing or damaged.
    """
    dtypes = {"F32": np.float32, "BOOL": np.bool_}
    with _open(path) as whole, path.open("rb") as stream:  # safe_open checks that the file is whole
        first = _metadata(path, whole)["first_axis"]
        length = int.from_bytes(stream.read(8), "little")
        entry = json.loads(stream.read(length))[name]
    start = 8 + length + entry["data_offsets"][0]
    stored = np.memmap(path, dtype=dtypes[entry["dtype"]], mode="r", offset=start, shape=tuple(entry["shape"]))
    return np.moveaxis(stored, 0, first)
