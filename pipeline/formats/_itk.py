"""Shared by the formats of ITK: read and write volumes with SimpleITK, whose axes run left, posterior, superior.

SimpleITK does not detect damage in compressed voxels, so their checksum is verified here first.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.formats import Part
from pipeline.formats._checks import check_affine, check_size, chosen_frame, first_line, header_of
from pipeline.formats._volumes import (
    SPATIAL_AXES,
    canonical_image,
    check_is_image,
    check_voxel_type,
    stored_volume,
)
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

FLAT = 2
"""Dimensions of a file with a single slice."""
MAX_DIMENSIONS = 4
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
MILLIMETRES = {
    "": 1.0,
    "?": 1.0,
    "m": 1e3,
    "cm": 10.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "millimeters": 1.0,
    "millimetre": 1.0,
    "um": 1e-3,
    "\N{MICRO SIGN}m": 1e-3,
    "\N{GREEK SMALL LETTER MU}m": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
    "nm": 1e-6,
}
"""Millimetres per unit of length; files without a unit are in millimetres by convention."""
DROPPED = ("ITK_", "NRRD_kinds", "NRRD_units", "NRRD_thicknesses", "NRRD_sizes")
"""Prefixes of SimpleITK's metadata keys that describe the file or are invalid for a result."""
UNPRINTABLE = "[UNKNOWN_PRINT_CHARACTERISTICS]"
"""Value of metadata that SimpleITK cannot represent."""
UNSUPPORTED = re.compile(r"not supported|Unknown PixelType|unsupported|Error interpreting|doesn't match", re.IGNORECASE)
ANY_WRAPPER = 47
"""Window size by which zlib recognises both zlib and gzip streams."""
CHUNK_BYTES = 1 << 20
MIN_VOXEL_BYTES = 1
"""Assumed before the voxel type is known."""

logger = logging.getLogger(__name__)
SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)


@dataclass(frozen=True)
class Kind:
    """A format of ITK.

    Attributes:
        title: its name in words.
        name: of its module, for `FileHeader.format`.
        reader: name of ITK's class that reads and writes it.
    """

    title: str
    name: str
    reader: str


@dataclass(frozen=True, kw_only=True)
class ItkHeader(FileHeader):
    """Header of a file read by ITK.

    Attributes:
        dimensions: of the file, 2 or 3.
        metadata: further fields of the file, as SimpleITK names them.
    """

    dimensions: int
    metadata: dict[str, str]


@dataclass(frozen=True)
class Header:
    """Fields of the text header that SimpleITK does not expose.

    Attributes:
        unit: of lengths.
        data: file with the voxels, which may be the file itself; None if there are several.
        compressed_from: place of its first byte of a stream of zlib or gzip; None if it is not compressed so.
        lists_frames: components of a voxel are volumes that follow each other.
    """

    unit: str
    data: Path | None
    compressed_from: int | None
    lists_frames: bool = False


def read_itk(path: Path, part: Part, kind: Kind, header: Header) -> Image:
    """Read a volume into canonical order with its stored intensities, in millimetres.

    Raises:
        UserError: the header or voxel file is missing or damaged, or it has several numbers per voxel, infinite voxels,
            an invalid geometry, or no such frame.
    """
    if header.data is not None and not header.data.is_file():
        raise UserError(
            f"{path}: its voxels are in another file, {header.data.name}, which is not beside it. Put it there, or "
            "convert both to one file first (a run of the workflow fetches one file for each source)."
        )
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(kind.reader)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        shape = tuple(int(size) for size in reader.GetSize())
        if "complex" in SimpleITK.GetPixelIDValueAsString(reader.GetPixelID()):
            raise UserError(f"{path}: its voxels are complex numbers, not intensities; store their magnitude.")
        _check_shape(path, shape, reader.GetNumberOfComponents(), header)
        volumes = reader.GetNumberOfComponents() * int(np.prod(shape[SPATIAL_AXES:], dtype=np.int64))
        frame = chosen_frame(path, volumes, part.frame)
        affine = _affine(
            path, header, *(getattr(reader, f"Get{name}")() for name in ("Direction", "Spacing", "Origin"))
        )
        picture = reader.Execute()
    except (RuntimeError, MemoryError) as error:
        raise _failure(path, kind, error) from error
    # Axes of the array: frames or components apart, x comes last.
    values = SimpleITK.GetArrayFromImage(picture)
    check_voxel_type(path, values.dtype)
    components = picture.GetNumberOfComponentsPerPixel()
    if not _is_whole(header, values.nbytes):
        raise UserError(f"{path}: its compressed voxels are damaged or incomplete. Is it complete?")
    frames = np.moveaxis(values.reshape((*shape[::-1], components)), -1, 0)
    spatial = (*shape, 1)[:SPATIAL_AXES]
    raw = frames.reshape((volumes, *spatial[::-1]))[frame].transpose()
    return canonical_image(
        path,
        raw,
        affine,
        IntensityMap(dtype=raw.dtype.name),
        "mm",
        ItkHeader(format=kind.name, dimensions=min(len(shape), SPATIAL_AXES), metadata=_metadata(picture)),
    )


def write_itk(path: Path, image: Image, kind: Kind, header_in: Callable[[Path], Header]) -> int:
    """Write a normalised canonical image in the orientation and dtype of its source, compressed.

    Args:
        path: the file.
        image: the image.
        kind: its format.
        header_in: returns the header of a file of this format.

    Returns:
        Number of voxels that were clipped to the range of the dtype.

    Raises:
        UserError: the file cannot be written, or not completely.
    """
    data, affine, saturated = stored_volume(image)
    stored = header_of(image, ItkHeader)
    flat = stored.dimensions == FLAT and data.shape[-1] == 1
    axes = FLAT if flat else SPATIAL_AXES
    picture = SimpleITK.GetImageFromArray(np.ascontiguousarray((data[..., 0] if flat else data).transpose()))
    placed = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(placed[:axes, :axes], axis=0)
    picture.SetSpacing(spacing.tolist())
    picture.SetDirection((placed[:axes, :axes] / spacing).ravel().tolist())
    picture.SetOrigin(placed[:axes, SPATIAL_AXES].tolist())
    for key, value in stored.metadata.items():
        picture.SetMetaData(key, value)
    with replacing(path) as partial:
        writer = SimpleITK.ImageFileWriter()
        writer.SetImageIO(kind.reader)
        writer.SetFileName(str(partial))
        writer.SetUseCompression(True)
        try:
            writer.Execute(picture)
        except RuntimeError as error:
            raise UserError(f"cannot write {path}: {_words(error)}. Is there room on the disk?") from error
        if not _is_whole(header_in(partial), data.nbytes):  # SimpleITK does not check whether an NRRD could be closed
            raise UserError(f"cannot write {path}: the file is incomplete. Is there room on the disk?")
    return saturated


def header_fields(text: bytes, separator: str) -> dict[str, str]:
    """Parse header lines "name: value" or "name = value"; names are in lower case."""
    fields: dict[str, str] = {}
    for line in text.decode("utf-8", errors="replace").splitlines():
        name, found, value = line.partition(separator)
        if found and not name.startswith("#"):
            fields[name.strip().lower()] = value.strip()
    return fields


def warn_unsupported_fields(path: Path, fields: Mapping[str, str], unsupported: Mapping[str, str]) -> None:
    """Warn about header fields that are ignored and missing in the result.

    Args:
        path: for the message.
        fields: header fields of the file.
        unsupported: names of the fields, each with its default value.
    """
    found = [name for name, default in unsupported.items() if fields.get(name, default) != default]
    if found:
        logger.warning("%s: these fields of its header are not used, and results lack them: %s", path, ", ".join(found))


def warn_of_assumed_spacing(path: Path, fields: Mapping[str, str], sizes: Sequence[str]) -> None:
    """Warn about a header without any of the fields `sizes`, which state the voxel size."""
    if not any(name in fields for name in sizes):
        logger.warning(
            "%s: does not state its voxel size; 1 mm along each axis is assumed. If this is wrong, correct the header "
            "(%s)",
            *(path, " or ".join(sizes)),
        )


def _check_shape(path: Path, shape: tuple[int, ...], components: int, header: Header) -> None:
    if len(shape) > MAX_DIMENSIONS:
        raise UserError(f"{path}: has {len(shape)} dimensions {shape}; split it into 3-D or 4-D volumes first.")
    if components > 1 and not header.lists_frames:
        raise UserError(
            f"{path}: its voxels are vectors or colours of {components} numbers, not intensities; store each component "
            "in a file of its own, or convert colours to grey."
        )
    if len(shape) == MAX_DIMENSIONS and components > 1:
        raise UserError(f"{path}: has time points of several components; split it into 3-D or 4-D volumes first.")
    check_is_image(path, shape)
    stored = header.data.stat().st_size if header.data is not None else int(np.prod(shape, dtype=np.float64))
    check_size(path, (*shape, components), MIN_VOXEL_BYTES, stored)


def _affine(path: Path, header: Header, direction: Any, spacing: Any, origin: Any) -> NDArray[np.float64]:
    """Return the affine of the first three axes, shape (4, 4), to RAS in millimetres."""
    factor = MILLIMETRES.get(header.unit.lower())
    if factor is None:
        known = ", ".join(unit for unit in MILLIMETRES if unit.isascii() and unit.isalpha())
        raise UserError(f"{path}: its unit of length {header.unit!r} is unknown; known are {known}.")
    if factor != 1:
        logger.warning("%s: its lengths are in %s; they are converted to mm, which results are in", path, header.unit)
    matrix = np.reshape(direction, (len(spacing), len(spacing))) * spacing
    axes = min(len(spacing), SPATIAL_AXES)
    if np.any(matrix[:axes, axes:]) or np.any(matrix[axes:, :axes]):
        raise UserError(f"{path}: its fourth axis is not time, but mixed with the spatial axes. Split it into volumes.")
    affine = np.eye(SPATIAL_AXES + 1)
    affine[:axes, :axes] = matrix[:axes, :axes]
    affine[:axes, SPATIAL_AXES] = origin[:axes]
    affine[:SPATIAL_AXES] *= factor
    check_affine(path, affine)
    return LPS_TO_RAS @ affine


def _metadata(picture: Any) -> dict[str, str]:
    """Return the metadata of an image that are valid for a result."""
    found = {key: picture.GetMetaData(key) for key in picture.GetMetaDataKeys() if not key.startswith(DROPPED)}
    kept = {key: value for key, value in found.items() if UNPRINTABLE not in value}
    if "time" in kept.get("NRRD_space", ""):  # of four axes, where a result has three
        del kept["NRRD_space"]
    return kept


def _is_whole(header: Header, size: int) -> bool:
    """Return whether the length and the checksum of compressed voxels are right; True if they are not compressed.

    Args:
        header: of the file.
        size: bytes of all voxels.
    """
    if header.compressed_from is None or header.data is None:
        return True
    stream, count = zlib.decompressobj(ANY_WRAPPER), 0
    try:
        with header.data.open("rb") as file:
            file.seek(header.compressed_from)
            while not stream.eof and (chunk := file.read(CHUNK_BYTES)):
                count += len(stream.decompress(chunk))
    except zlib.error:
        return False
    return stream.eof and count == size


def _failure(path: Path, kind: Kind, error: BaseException) -> UserError:
    if isinstance(error, MemoryError):
        return UserError(f"{path}: the volume does not fit into memory. Is its header right?")
    advice = (
        "SimpleITK does not read files of this kind; convert it to NIfTI with the program that made it."
        if UNSUPPORTED.search(str(error))
        else "Is it complete?"
    )
    return UserError(f"{path}: cannot be read as {kind.title} ({_words(error)}). {advice}")


def _words(error: BaseException) -> str:
    """Return the last line of a SimpleITK error, without the location in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Reason:")]
    text = lines[-1] if lines else first_line(error)
    return re.sub(r"^(ITK|sitk::)\s*ERROR:\s*(\w+\(0x\w+\):\s*)?", "", text).rstrip(".")
