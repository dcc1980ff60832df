"""What the formats of nibabel share: loading whole files, and turning volumes to canonical order and back."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.freesurfer.mghformat import MGHError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.formats import Part
from pipeline.image.formats._checks import (
    check_affine,
    check_finite,
    check_is_file,
    check_size,
    chosen_frame,
    first_line,
    read_gzip,
)
from pipeline.image.geometry import Orientation
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SPATIAL_AXES = 3
SMALLEST_SIZE = 2
"""Voxels along an axis; a single slice is no volume."""
DAMAGE = (ImageFileError, HeaderDataError, MGHError, EOFError, OSError, zlib.error, ValueError, KeyError)
"""What nibabel raises on broken files."""

# nibabel remarks on headers that it mends by guessing; what matters of that is an error here, told once.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)


def load(path: Path, title: str, check: Callable[[Any], None], compressed: str, part: Part) -> tuple[Any, NDArray]:
    """Loads a file with nibabel and picks one volume of it.

    Args:
        path: the file.
        title: the format's name in words.
        check: refuses files of another kind and useless headers.
        compressed: ending of the names of gzipped files.
        part: which volume.

    Returns:
        nibabel's image, and the stored voxels of the volume, shape (x, y, z).

    Raises:
        UserError: the file is missing or damaged, holds no volume, or has no such frame.
    """
    check_is_file(path)
    try:
        path.open("rb").close()  # where this is forbidden, nibabel would not say why it failed
        file: Any = nib.load(path)
        _check_shape(path, file)
        check(file)
        check_affine(path, np.asarray(file.affine))
        frame = chosen_frame(path, _frames(file), part.frame)
        zipped = path.name.lower().endswith(compressed)
        raw = _unzipped(path, file.dataobj) if zipped else np.asanyarray(file.dataobj.get_unscaled())
        return file, raw.reshape((*raw.shape[:SPATIAL_AXES], -1))[..., frame]
    except DAMAGE as error:
        raise UserError(f"{path}: cannot be read as {title} ({first_line(error)}). Is it whole?") from error
    except MemoryError as error:
        raise UserError(f"{path}: the volume does not fit into memory. Is its header right?") from error


def _unzipped(path: Path, proxy: Any) -> NDArray:
    """The stored voxels of a gzipped file, read once; `proxy` is nibabel's account of where they lie in it."""
    count = int(np.prod(proxy.shape, dtype=np.int64))
    content = read_gzip(path, proxy.offset + count * proxy.dtype.itemsize)
    return np.frombuffer(content, proxy.dtype, count, proxy.offset).reshape(proxy.shape, order=proxy.order)


def _frames(file: Any) -> int:
    return int(np.prod(file.shape[SPATIAL_AXES:], dtype=np.int64))


def _check_shape(path: Path, file: Any) -> None:
    shape = tuple(int(size) for size in file.shape)
    if 0 in shape:
        raise UserError(f"{path}: is empty, its shape is {shape}.")
    if len(shape) < SPATIAL_AXES or min(shape[:SPATIAL_AXES]) < SMALLEST_SIZE:
        raise UserError(f"{path}: holds no volume, its shape is {shape}; a 3-D volume is needed.")
    if sum(size > 1 for size in shape[SPATIAL_AXES:]) > 1:
        raise UserError(f"{path}: has {len(shape)} dimensions {shape}; split it into 3-D or 4-D volumes first.")
    if file.get_data_dtype().kind not in "iuf":
        raise UserError(
            f"{path}: voxels of type {file.get_data_dtype()} are not intensities; integers or floats are needed."
        )
    check_size(path, shape, file.get_data_dtype().itemsize, path.stat().st_size)


def canonical_image(
    path: Path, raw: NDArray, affine: NDArray, intensity: IntensityMap, unit: str, origin: Mapping[str, Any]
) -> Image:
    """Turns stored voxels into an Image in canonical order with physical intensities.

    These are 64-bit floats, or 32-bit floats where they lose nothing: of integers up to 16 bits, and of 32-bit floats,
    with neither slope nor intercept.

    Args:
        path: for messages.
        raw: stored voxels, shape (x, y, z).
        affine: shape (4, 4), from voxel indices to `unit`.
        intensity: slope, intercept and dtype of the file.
        unit: of the affine.
        origin: what else the file looked like; its orientation and shape are added.

    Raises:
        UserError: a voxel is no number.
    """
    affine = np.asarray(affine, dtype=np.float64)
    physical = _physical(raw, intensity)
    check_finite(path, physical)
    orientation = Orientation.of_affine(affine)
    data, turned = orientation.to_canonical(physical, affine)
    placed = {
        "orientation": {"axes": orientation.axes, "flips": orientation.flips},
        "orientation_code": orientation.code,
        "shape": list(raw.shape),
    }
    return Image(data=data, affine=turned, intensity=intensity, unit=unit, origin={**origin, **placed})


def _physical(raw: NDArray, intensity: IntensityMap) -> NDArray[np.floating]:
    """Applies slope and intercept, without further arrays as large as the volume."""
    if (intensity.slope, intensity.intercept) == (1, 0) and np.can_cast(raw.dtype, np.float32):
        return raw.astype(np.float32)
    physical = raw.astype(np.float64)
    physical *= intensity.slope
    physical += intensity.intercept
    return physical


def stored_volume(image: Image) -> tuple[NDArray, NDArray[np.float64], int]:
    """Returns an image's stored voxels and affine in the order of its file, and how many voxels were clipped."""
    stored, saturated = image.intensity.to_stored(image.data)
    orientation = Orientation(**{name: tuple(value) for name, value in image.origin["orientation"].items()})
    data, affine = orientation.from_canonical(stored, image.affine)
    return np.ascontiguousarray(data), affine, saturated
