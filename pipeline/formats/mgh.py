"""FreeSurfer's MGH, plain or gzipped (MGZ), read and written through nibabel.

Of a file with several frames one is taken, and written as a file with one. The scan parameters behind the voxels are
kept, and so are FreeSurfer's tags (the path of the Talairach transform, the commands that made the file ...).
"""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.formats import Part
from pipeline.formats._checks import check_spacing, header_of
from pipeline.formats._volumes import canonical_image, load, stored_volume
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SUFFIXES = (".mgh", ".mgz")
WRITTEN = (".mgz", ".mgh")
PARAMETERS = ("tr", "flip_angle", "te", "ti", "fov", "dof")
"""Scan parameters: times in milliseconds, the angle in radians, the field of view in millimetres, and the degrees of
freedom."""
FOOTER_BYTES = 20
"""Size of the first five of them, stored after the voxels."""
GOOD_RAS = slice(28, 30)
"""Bytes of goodRASFlag, which is set if the file states its voxel size and position."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MghHeader(FileHeader):
    """Header of an MGH file.

    Attributes:
        measurement_parameters: TR, flip angle, TE, TI and field of view, those that are finite.
        tags: FreeSurfer tags behind them, in base64.
    """

    format: str = "mgh"
    measurement_parameters: dict[str, float] = field(default_factory=dict)
    tags: str = ""


HEADER = MghHeader


def read(path: Path, part: Part = Part()) -> Image:
    """Read a volume into canonical order with its stored intensities.

    Raises:
        UserError: the file is missing, damaged, or not an image, or has infinite voxels, an invalid geometry, or no
            such frame.
    """
    part.check(path, "MGH", ("frame",))
    file, raw = load(path, "MGH", lambda file: _check(path, file), part)
    header = file.header
    parameters = {name: float(header[name]) for name in PARAMETERS if np.isfinite(header[name])}
    intensity = IntensityMap(dtype=raw.dtype.newbyteorder("=").name)
    tags = _tags(path, file)
    if tags and raw.shape != file.shape:
        logger.warning("%s: its FreeSurfer tags are left out, since they are about all frames", path)
        tags = b""
    stored = MghHeader(measurement_parameters=parameters, tags=base64.b64encode(tags).decode("ascii"))
    return canonical_image(path, raw, file.affine, intensity, "mm", stored)


def write(path: Path, image: Image) -> int:
    """Write a normalised canonical image in the orientation and dtype of its source.

    Returns:
        Number of voxels that were clipped to the range of the dtype.
    """
    data, affine, saturated = stored_volume(image)
    stored = header_of(image, MghHeader)
    kind: Any = nib.MGHImage
    file = kind(data, affine)
    for name, value in stored.measurement_parameters.items():
        file.header[name] = value
    with replacing(path) as partial:
        nib.save(file, partial)
        if tags := base64.b64decode(stored.tags):
            with ImageOpener(str(partial), "ab") as stream:
                stream.write(tags)
    return saturated


def _check(path: Path, file: Any) -> None:
    if not isinstance(file, nib.MGHImage):
        raise UserError(f"{path}: is not MGH but {type(file).__name__}.")
    check_spacing(path, np.asarray(file.header["delta"], dtype=np.float64))
    with ImageOpener(str(path)) as stream:
        if not any(stream.read(GOOD_RAS.stop)[GOOD_RAS]):
            logger.warning(
                "%s: does not state its voxel size and position (goodRASFlag 0); as FreeSurfer does, voxels of 1 mm in "
                "coronal order around the origin are taken, and the result states them",
                path,
            )


def _tags(path: Path, file: Any) -> bytes:
    """Return the bytes after the scan parameters."""
    with ImageOpener(str(path)) as stream:
        stream.seek(file.header.get_footer_offset() + FOOTER_BYTES)
        return stream.read()
