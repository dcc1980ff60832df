"""NIfTI-1 and NIfTI-2, plain or gzipped, read and written through nibabel."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.image.geometry import Orientation
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SUFFIXES = (".nii", ".nii.gz")
IMAGE_TYPES = {1: nib.Nifti1Image, 2: nib.Nifti2Image}
"""By the version of the standard."""
SPATIAL_AXES = 3
SMALLEST_SIZE = 2
"""Voxels along an axis; a single slice is no volume."""
SMALLEST_DETERMINANT = 1e-3
"""Of the unit vectors along the axes: 1 where they are at right angles, 0 where they lie in one plane."""
CHUNK_BYTES = 1 << 20

# nibabel remarks on headers that it mends by guessing; what matters of that is an error here, told once.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)


def read(path: Path) -> Image:
    """Reads a volume into canonical order with physical intensities (float64, slope and intercept applied).

    Raises:
        UserError: the file is missing, damaged, no 3-D volume, has NaN or infinite voxels, or a useless geometry.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name the file.")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    try:
        file, raw = _load(path)
        slope, intercept = float(file.dataobj.slope), float(file.dataobj.inter)
        physical = raw.astype(np.float64) * slope + intercept
    except (ImageFileError, HeaderDataError, EOFError, OSError, zlib.error, ValueError) as error:
        raise UserError(f"{path}: cannot be read as NIfTI ({_first_line(error)}). Is it whole?") from error
    except MemoryError as error:
        raise UserError(f"{path}: the volume does not fit into memory. Is its header right?") from error
    _check_voxels(path, physical)
    header = file.header
    orientation = Orientation.of_affine(file.affine)
    data, affine = orientation.to_canonical(physical, np.asarray(file.affine, dtype=np.float64))
    return Image(
        data=data,
        affine=affine,
        intensity=IntensityMap(1.0, slope, intercept, raw.dtype.newbyteorder("=").name),
        origin={
            "format": "nifti",
            "version": next(version for version, kind in IMAGE_TYPES.items() if type(file) is kind),
            "suffix": next(suffix for suffix in reversed(SUFFIXES) if path.name.lower().endswith(suffix)),
            "orientation": {"axes": orientation.axes, "flips": orientation.flips},
            "orientation_code": orientation.code,
            "shape": list(raw.shape),
            "sform_code": int(header["sform_code"]),
            "qform_code": int(header["qform_code"]),
            "xyzt_units": int(header["xyzt_units"]),
        },
    )


def write(path: Path, image: Image) -> int:
    """Writes a normalised canonical image in the orientation, dtype, slope and units it came in.

    Returns:
        How many voxels had to be clipped to the dtype's range.
    """
    stored, saturated = image.intensity.to_stored(image.data)
    origin = image.origin
    orientation = Orientation(**{name: tuple(value) for name, value in origin["orientation"].items()})
    data, affine = orientation.from_canonical(stored, image.affine)
    file: Any = IMAGE_TYPES[origin["version"]](np.ascontiguousarray(data), affine, dtype=data.dtype)
    file.header["xyzt_units"] = origin["xyzt_units"]
    file.set_sform(affine, code=origin["sform_code"] or (0 if origin["qform_code"] else 2))
    file.set_qform(affine, code=origin["qform_code"])
    file.header.set_slope_inter(image.intensity.slope, image.intensity.intercept)
    with replacing(path) as partial:
        nib.save(file, partial)
    return saturated


def _load(path: Path) -> tuple[Any, NDArray]:
    """Returns nibabel's image, its header checked, and the stored voxels, shape (x, y, z)."""
    if path.name.lower().endswith(".gz"):
        _check_gzip(path)
    file: Any = nib.load(path)
    if type(file) not in IMAGE_TYPES.values():
        raise UserError(f"{path}: is not NIfTI but {type(file).__name__}.")
    _check_header(path, file)
    raw = np.asanyarray(file.dataobj.get_unscaled())
    return file, raw.reshape(raw.shape[:SPATIAL_AXES])


def _check_gzip(path: Path) -> None:
    """Reads to the end, where the checksum stands: a reader of voxels stops before it and misses changed bytes."""
    with gzip.open(path) as stream:
        while stream.read(CHUNK_BYTES):
            pass


def _stated_spacing(path: Path, file: Any) -> NDArray[np.floating]:
    """The voxel size as it stands in the header: nibabel silently turns a zero into a one."""
    with ImageOpener(str(path)) as stream:
        return np.abs(type(file.header).from_fileobj(stream, check=False)["pixdim"][1 : SPATIAL_AXES + 1])


def _check_header(path: Path, file: Any) -> None:
    shape = tuple(file.shape)
    if 0 in shape:
        raise UserError(f"{path}: is empty, its shape is {shape}.")
    if len(shape) < SPATIAL_AXES or min(shape[:SPATIAL_AXES]) < SMALLEST_SIZE:
        raise UserError(f"{path}: holds no volume, its shape is {shape}; a 3-D volume is needed.")
    if any(size > 1 for size in shape[SPATIAL_AXES:]):
        raise UserError(f"{path}: has {len(shape)} dimensions {shape}; split it into 3-D volumes first.")
    if file.get_data_dtype().kind not in "iuf":
        raise UserError(
            f"{path}: voxels of type {file.get_data_dtype()} are not intensities; integers or floats are needed."
        )
    spacing: NDArray[np.float64] = np.linalg.norm(file.affine[:3, :3], axis=0)
    if not np.all(np.isfinite(file.affine)):
        raise UserError(f"{path}: the affine has values that are NaN or infinite; mend the header.")
    for size in (spacing, _stated_spacing(path, file)):
        if not np.all(size > 0):
            raise UserError(f"{path}: the voxel size is {[float(side) for side in size]}; each must be above zero.")
    if abs(np.linalg.det(file.affine[:3, :3] / spacing)) < SMALLEST_DETERMINANT:
        raise UserError(f"{path}: the affine is singular, so the axes do not span a volume; mend the header.")


def _check_voxels(path: Path, data: NDArray[np.float64]) -> None:
    bad = int(np.count_nonzero(~np.isfinite(data)))
    if bad:
        raise UserError(f"{path}: {bad} voxels are NaN or infinite; replace them before you use the volume.")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
