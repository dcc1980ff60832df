"""NIfTI-1 and NIfTI-2, plain or gzipped, read and written through nibabel.

Of a 4-D image one volume is taken, and written as a 3-D image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.image.formats import Part
from pipeline.image.formats._checks import check_spacing
from pipeline.image.formats._volumes import SPATIAL_AXES, canonical_image, load, stored_volume
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SUFFIXES = (".nii", ".nii.gz")
WRITTEN = (".nii.gz", ".nii")
IMAGE_TYPES = {1: nib.Nifti1Image, 2: nib.Nifti2Image}
"""By the version of the standard."""
UNITS = {3: "um"}
"""Unit by the code in the lowest three bits of xyzt_units (NIfTI-1); of others, millimetres are taken."""
UNIT_BITS = 7


def read(path: Path, part: Part = Part()) -> Image:
    """Reads a volume into canonical order with physical intensities (slope and intercept applied).

    Raises:
        UserError: the file is missing, damaged, no volume, has NaN or infinite voxels, a useless geometry, or no such
            frame.
    """
    part.check(path, "NIfTI", ("frame",))
    file, raw = load(path, "NIfTI", lambda file: _check(path, file), ".gz", part)
    header = file.header
    return canonical_image(
        path,
        raw,
        file.affine,
        IntensityMap(1.0, float(file.dataobj.slope), float(file.dataobj.inter), raw.dtype.newbyteorder("=").name),
        UNITS.get(int(header["xyzt_units"]) & UNIT_BITS, "mm"),
        {
            "format": "nifti",
            "version": next(version for version, kind in IMAGE_TYPES.items() if type(file) is kind),
            "byte_order": header.endianness,
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
    data, affine, saturated = stored_volume(image)
    origin = image.origin
    kind: Any = IMAGE_TYPES[origin["version"]]
    file = kind(data, affine, header=kind.header_class(endianness=origin["byte_order"]), dtype=data.dtype)
    file.header["xyzt_units"] = origin["xyzt_units"]
    file.set_sform(affine, code=origin["sform_code"] or (0 if origin["qform_code"] else 2))
    file.set_qform(affine, code=origin["qform_code"])
    file.header.set_slope_inter(image.intensity.slope, image.intensity.intercept)
    with replacing(path) as partial:
        nib.save(file, partial)
    return saturated


def _check(path: Path, file: Any) -> None:
    if type(file) not in IMAGE_TYPES.values():
        raise UserError(f"{path}: is not NIfTI but {type(file).__name__}.")
    check_spacing(path, _stated_spacing(path, file))


def _stated_spacing(path: Path, file: Any) -> NDArray[np.floating]:
    """The voxel size as it stands in the header: nibabel silently turns a zero into a one."""
    with ImageOpener(str(path)) as stream:
        return np.abs(type(file.header).from_fileobj(stream, check=False)["pixdim"][1 : SPATIAL_AXES + 1])
