"""FreeSurfer's MGH, plain or gzipped (MGZ), read and written through nibabel.

Of a file with several frames one is taken, and written as a file with one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.image.formats import Part
from pipeline.image.formats._checks import check_spacing
from pipeline.image.formats._volumes import canonical_image, load, stored_volume
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SUFFIXES = (".mgh", ".mgz")
WRITTEN = (".mgz", ".mgh")
PARAMETERS = ("tr", "flip_angle", "te", "ti", "fov")
"""Of the measurement: times in milliseconds, the angle in radians, the field of view in millimetres."""


def read(path: Path, part: Part = Part()) -> Image:
    """Reads a volume into canonical order, float64.

    Raises:
        UserError: the file is missing, damaged, no volume, has NaN or infinite voxels, a useless geometry, or no such
            frame.
    """
    part.check(path, "MGH", ("frame",))
    file, raw = load(path, "MGH", lambda file: _check(path, file), ".mgz", part)
    header = file.header
    parameters = {name: float(header[name]) for name in PARAMETERS if np.isfinite(header[name])}
    intensity = IntensityMap(dtype=raw.dtype.newbyteorder("=").name)
    return canonical_image(
        path, raw, file.affine, intensity, "mm", {"format": "mgh", "measurement_parameters": parameters}
    )


def write(path: Path, image: Image) -> int:
    """Writes a normalised canonical image in the orientation and dtype it came in.

    Returns:
        How many voxels had to be clipped to the dtype's range.
    """
    data, affine, saturated = stored_volume(image)
    kind: Any = nib.MGHImage
    file = kind(data, affine)
    for name, value in image.origin["measurement_parameters"].items():
        file.header[name] = value
    with replacing(path) as partial:
        nib.save(file, partial)
    return saturated


def _check(path: Path, file: Any) -> None:
    if not isinstance(file, nib.MGHImage):
        raise UserError(f"{path}: is not MGH but {type(file).__name__}.")
    check_spacing(path, np.asarray(file.header["delta"], dtype=np.float64))
