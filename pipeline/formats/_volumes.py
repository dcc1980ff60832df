"""Helpers for formats read with nibabel: loading and reorientation."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.freesurfer.mghformat import MGHError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.formats import Part
from pipeline.formats._checks import (
    check_affine,
    check_finite,
    check_is_file,
    check_size,
    chosen_frame,
    first_line,
    read_gzip,
)
from pipeline.image.geometry import Orientation
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SPATIAL_AXES = 3
IMAGE_AXES = 2
"""Minimum number of axes with several voxels: a single slice is an image, a row of voxels is not."""
MAX_VOXEL_BYTES = 8
"""Maximum number of bytes per voxel."""
DAMAGE = (ImageFileError, HeaderDataError, MGHError, EOFError, OSError, zlib.error, ValueError, KeyError)
"""Exceptions that nibabel raises on broken files."""
COMPRESSED = (".gz", ".mgz")
"""Suffixes of gzipped files."""
UNKNOWN_TYPE = re.compile(r"data code (\d+) not (?:supported|recognized)")
"""Messages of nibabel about voxel types that it does not read."""
UNSUPPORTED_TYPES = {1: "binary (1 bit)", 1536: "float128", 2048: "complex256"}
"""NIfTI-1 datatype codes that nibabel does not read, with their names."""

# nibabel logs headers that it repairs by guessing; those that matter raise an error here.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)


def load(path: Path, title: str, check: Callable[[Any], None], part: Part) -> tuple[Any, NDArray]:
    """Load a file with nibabel, and select one of its volumes.

    Args:
        path: the file.
        title: the format's name in words.
        check: raises UserError for other formats and invalid headers.
        part: selects the volume of a 4-D image.

    Returns:
        nibabel's image, and the stored voxels of the volume, shape (x, y, z); z is 1 if the file has two dimensions.

    Raises:
        UserError: the file is missing or damaged, is not an image, or has no such frame.
    """
    check_is_file(path)
    try:
        path.open("rb").close()  # without permission to read, nibabel's message would not contain the reason
        file: Any = nib.load(path)
        check(file)
        _check_shape(path, file)
        check_affine(path, np.asarray(file.affine))
        frame = chosen_frame(path, _frames(file), part.frame)
        zipped = file_of(file).name.lower().endswith(COMPRESSED)
        raw = _unzipped(file_of(file), file.dataobj) if zipped else np.asanyarray(file.dataobj.get_unscaled())
        return file, raw.reshape((*_spatial(raw.shape), -1))[..., frame]
    except DAMAGE as error:
        if isinstance(error, HeaderDataError) and (found := UNKNOWN_TYPE.search(str(error))):
            code = int(found.group(1))
            name = UNSUPPORTED_TYPES.get(code, "unknown")
            raise UserError(
                f"{path}: voxels of type {name} (datatype {code}) are not supported; convert them to integers or to "
                "32- or 64-bit floats."
            ) from error
        raise UserError(f"{path}: cannot be read as {title} ({first_line(error)}). Is it complete?") from error
    except MemoryError as error:
        raise UserError(f"{path}: the volume does not fit into memory. Is its header right?") from error


def file_of(file: Any, part: str = "image") -> Path:
    """Return the path of the "image" or "header" part of nibabel's image; the same file except for pairs."""
    holders = file.file_map
    return Path(holders.get(part, holders["image"]).filename)


def _unzipped(path: Path, proxy: Any) -> NDArray:
    """Return the stored voxels of a gzipped file in one pass; `proxy` is nibabel's array proxy."""
    count = int(np.prod(proxy.shape, dtype=np.int64))
    content = read_gzip(path, proxy.offset + count * proxy.dtype.itemsize)
    return np.frombuffer(content, proxy.dtype, count, proxy.offset).reshape(proxy.shape, order=proxy.order)


def _spatial(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of the first three axes, padded to three."""
    return (*shape, 1)[:SPATIAL_AXES]


def _frames(file: Any) -> int:
    return int(np.prod(file.shape[SPATIAL_AXES:], dtype=np.int64))


def _check_shape(path: Path, file: Any) -> None:
    shape = tuple(int(size) for size in file.shape)
    check_is_image(path, shape)
    if sum(size > 1 for size in shape[SPATIAL_AXES:]) > 1:
        raise UserError(f"{path}: has {len(shape)} dimensions {shape}; split it into 3-D or 4-D volumes first.")
    check_voxel_type(path, file.get_data_dtype())
    check_size(path, shape, file.get_data_dtype().itemsize, file_of(file).stat().st_size)


def check_is_image(path: Path, shape: tuple[int, ...]) -> None:
    """Check that at least two spatial axes have several voxels.

    Raises:
        UserError: an axis has no voxel, or fewer than two of the first three have several.
    """
    if 0 in shape:
        raise UserError(f"{path}: is empty, its shape is {shape}.")
    if sum(size > 1 for size in shape[:SPATIAL_AXES]) < IMAGE_AXES:
        raise UserError(
            f"{path}: is not an image: fewer than two spatial axes have more than one voxel (shape {shape})."
        )


def check_voxel_type(path: Path, dtype: np.dtype) -> None:
    """Check that voxels are real numbers of at most 64 bits.

    Raises:
        UserError: the voxels are not real numbers of at most 64 bits.
    """
    if dtype.kind in "iuf" and dtype.itemsize <= MAX_VOXEL_BYTES:
        return
    if dtype.names:
        kind, what = f"colours ({''.join(dtype.names)})", "convert them to grey, or store each colour in a file"
    elif dtype.kind == "c":
        kind, what = f"complex numbers ({dtype.name})", "store their magnitude"
    else:
        kind, what = f"of type {dtype.name}", "convert them to integers or to 32- or 64-bit floats"
    raise UserError(f"{path}: its voxels are {kind}, not intensities; {what}.")


def canonical_image(
    path: Path, raw: NDArray, affine: NDArray, intensity: IntensityMap, unit: str, header: FileHeader
) -> Image:
    """Convert stored voxels to an Image in canonical order with physical intensities.

    These are 64-bit floats, or 32-bit floats where they lose nothing: of integers up to 16 bits, and of 32-bit floats,
    with neither slope nor intercept.

    Args:
        path: for messages.
        raw: stored voxels, shape (x, y, z).
        affine: shape (4, 4), from voxel indices to `unit`.
        intensity: slope, intercept and dtype of the file.
        unit: of the affine.
        header: header of the file; the orientation is added.

    Raises:
        UserError: a voxel is infinite.
    """
    affine = np.asarray(affine, dtype=np.float64)
    physical = _physical(raw, intensity)
    check_finite(path, physical)
    orientation = Orientation.of_affine(affine)
    data, turned = orientation.to_canonical(physical, affine)
    return Image(data, turned, intensity, unit, replace(header, orientation=orientation))


def _physical(raw: NDArray, intensity: IntensityMap) -> NDArray[np.floating]:
    """Apply slope and intercept in place, to save memory."""
    if (intensity.slope, intensity.intercept) == (1, 0) and np.can_cast(raw.dtype, np.float32):
        return raw.astype(np.float32)
    physical = raw.astype(np.float64)
    physical *= intensity.slope
    physical += intensity.intercept
    return physical


def stored_volume(image: Image) -> tuple[NDArray, NDArray[np.float64], int]:
    """Return stored voxels and affine in the orientation of the file, and the number of clipped voxels."""
    stored, saturated = image.intensity.to_stored(image.data)
    assert image.header.orientation is not None
    data, affine = image.header.orientation.from_canonical(stored, image.affine)
    return np.ascontiguousarray(data), affine, saturated
