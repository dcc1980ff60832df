"""NIfTI-1 and NIfTI-2, plain, gzipped or as a pair of header and image, read and written through nibabel.

One volume of a 4-D image is read, and written as a 3-D image; a pair is written as one file. All header fields that are
valid for the result are kept, extensions included. Both qform and sform are moved to the grid of the result,
with their codes.
"""

from __future__ import annotations

import base64
import itertools
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Extension
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from pipeline.config.bids.sidecars import sidecars_of_file
from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.formats import Part
from pipeline.formats._checks import check_spacing, header_of
from pipeline.formats._sidecar import with_sidecars
from pipeline.formats._volumes import SPATIAL_AXES, canonical_image, file_of, load, stored_volume
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")
WRITTEN = (".nii.gz", ".nii")
IMAGE_TYPES = {1: nib.Nifti1Image, 2: nib.Nifti2Image}
"""By the version of the standard."""
VERSIONS = {348: 1, 540: 2}
"""By the bytes of a header."""
PARTNERS = {".hdr": ".img", ".img": ".hdr"}
UNIT_BITS = 7
METRE, MICROMETRE = 1, 3
"""Codes in the lowest three bits of xyzt_units (NIfTI-1); all others mean millimetres by convention."""
MILLIMETRES_PER_METRE = 1000.0
SCANNER = 1
"""Code of an sform and qform in scanner coordinates (NIfTI-1)."""
ALIGNED = 2
"""Code of an sform relative to an unspecified reference (NIfTI-1)."""
VECTOR_INTENTS = {
    1004: "matrices",
    1005: "symmetric matrices",
    1006: "displacements",
    1007: "vectors",
    1008: "points",
    1009: "triangles",
    1010: "quaternions",
    2003: "RGB colours",
    2004: "RGBA colours",
}
"""Intent codes of files whose fifth axis counts the components of a voxel (NIfTI-1)."""
MAX_DISAGREEMENT = 0.1
"""Maximum distance of corners, in voxels, for qform and sform to agree."""
SAME_GRID = 1e-9
"""Maximum difference of two affines of the same grid due to rounding, in voxels."""
PLAUSIBLE_MM = (1.0, 1000.0)
"""Plausible range of the longest side; other values suggest a wrong unit of length."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NiftiHeader(FileHeader):
    """Header of a NIfTI file.

    Attributes:
        version: of the standard, 1 or 2.
        block: the binary header, in base64.
        extensions: code and content, in base64, of each header extension.
    """

    format: str = "nifti"
    version: int
    block: str
    extensions: tuple[tuple[int, str], ...] = ()


HEADER = NiftiHeader


def read(path: Path, part: Part = Part()) -> Image:
    """Read a volume into canonical order with physical intensities (slope and intercept applied).

    The slice thickness is read from the BIDS sidecars of the file, if it has any.

    Returns:
        The image, in micrometres if the file is, else in millimetres.

    Raises:
        UserError: the file is missing, damaged, or not an image of intensities, or has infinite voxels, an invalid
            geometry, or no such frame, or its sidecar states an impossible slice thickness.
    """
    part.check(path, "NIfTI", ("frame",))
    _check_partner(path)
    file, raw = load(path, "NIfTI", lambda file: _check(path, file), part)
    header = file.header
    affine = _affine(header)
    _warn_of_doubts(path, header, affine)
    image = canonical_image(
        path,
        raw,
        affine,
        IntensityMap(1.0, float(file.dataobj.slope), float(file.dataobj.inter), raw.dtype.newbyteorder("=").name),
        "um" if _unit_code(header) == MICROMETRE else "mm",
        NiftiHeader(
            version=VERSIONS[int(header["sizeof_hdr"])],
            block=base64.b64encode(header.binaryblock).decode("ascii"),
            extensions=tuple(
                (int(one.get_code()), base64.b64encode(one.content).decode("ascii")) for one in header.extensions
            ),
        ),
    )
    return with_sidecars(image, sidecars_of_file(path))


def write(path: Path, image: Image) -> int:
    """Write a normalised canonical image in the orientation, dtype, slope and units of its source.

    Returns:
        Number of voxels that were clipped to the range of the dtype.
    """
    data, affine, saturated = stored_volume(image)
    header = _header(image)
    if len(header.get_data_shape()) < SPATIAL_AXES and data.shape[-1] == 1:
        data = data[..., 0]
    change = np.linalg.inv(_affine(header)) @ affine
    if data.shape != header.get_data_shape()[:SPATIAL_AXES]:
        for name in ("slice_start", "slice_end", "slice_duration", "slice_code"):
            header[name] = 0
    if not np.allclose(change, np.eye(SPATIAL_AXES + 1), rtol=0, atol=SAME_GRID):
        _move_forms(header, change)
    sizes = header["pixdim"].copy()
    header.set_data_shape(data.shape)
    header["pixdim"] = sizes  # nibabel resets those of axes that the shape does not have
    if not (header["qform_code"] or header["sform_code"]) and not _same_place(_affine(header), affine):
        logger.warning(
            "%s: the source does not state its position (qform and sform codes 0), but this part of it needs one; it "
            "is written as an sform of code %d",
            path,
            ALIGNED,
        )
        header.set_sform(np.linalg.inv(_unit(header)) @ affine, code=ALIGNED)
    stored = header_of(image, NiftiHeader)
    for code, content in stored.extensions:
        header.extensions.append(Nifti1Extension(code, base64.b64decode(content)))
    # Without an affine, nibabel leaves both forms of the header unchanged.
    kind: Any = IMAGE_TYPES[stored.version]
    file = kind(data, None, header=header, dtype=data.dtype)
    file.header.set_slope_inter(image.intensity.slope, image.intensity.intercept)
    with replacing(path) as partial:
        nib.save(file, partial)
    return saturated


def converted(image: Image) -> Image:
    """Return an image of another format with the header of a new NIfTI file, in canonical orientation.

    Args:
        image: image of a head in millimetres, whose voxels have a dtype of NIfTI.
    """
    header = nib.Nifti1Header()
    header.set_data_dtype(np.dtype(image.intensity.dtype))
    header.set_data_shape(image.data.shape)
    header.set_xyzt_units("mm")
    header.set_sform(image.affine, code=SCANNER)
    header.set_qform(image.affine, code=SCANNER)
    block = base64.b64encode(header.binaryblock).decode("ascii")
    return replace(image, header=NiftiHeader(version=1, block=block))


def as_quantity(image: Image) -> Image:
    """Convert an image to 32-bit floats, without the display window and the intent of its intensities."""
    header = _header(image)
    for name in ("cal_min", "cal_max", "intent_code", "intent_p1", "intent_p2", "intent_p3"):
        header[name] = 0
    header["intent_name"] = b""
    return replace(
        image,
        intensity=replace(image.intensity, slope=1.0, intercept=0.0, dtype="float32"),
        header=replace(header_of(image, NiftiHeader), block=base64.b64encode(header.binaryblock).decode("ascii")),
    )


def _header(image: Image) -> Any:
    """Return the header of the source file, as that of a single file without extensions."""
    stored = header_of(image, NiftiHeader)
    kind: Any = IMAGE_TYPES[stored.version]
    header = kind.header_class(base64.b64decode(stored.block), check=False)
    header["magic"] = header.single_magic
    header["vox_offset"] = 0  # nibabel then leaves room for the extensions
    return header


def _unit_code(header: Any) -> int:
    return int(header["xyzt_units"]) & UNIT_BITS


def _unit(header: Any) -> NDArray[np.float64]:
    """Return the affine, shape (4, 4), from the unit of a header to that of the Image."""
    factor = MILLIMETRES_PER_METRE if _unit_code(header) == METRE else 1.0
    return np.diag([factor, factor, factor, 1.0])


def _affine(header: Any) -> NDArray[np.float64]:
    """Return the affine of a header, shape (4, 4), to micrometres if these are its unit, else to millimetres."""
    return _unit(header) @ np.asarray(header.get_best_affine(), dtype=np.float64)


def _qform(header: Any) -> NDArray[np.float64] | None:
    """Return the qform of a header, regardless of its code; None if its quaternion is not a rotation."""
    try:
        return np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        return None


def _move_forms(header: Any, change: NDArray[np.float64]) -> None:
    """Move qform and sform to another grid.

    Args:
        header: changed in place.
        change: affine, shape (4, 4), from voxel indices of that grid to those of the header.
    """
    header.set_sform(header.get_sform() @ change, code=int(header["sform_code"]))
    qform = _qform(header)
    if qform is None:
        header["qform_code"] = 0
        header["pixdim"][1 : SPATIAL_AXES + 1] *= np.linalg.norm(change[:3, :3], axis=0)
    else:
        header.set_qform(qform @ change, code=int(header["qform_code"]))


def _same_place(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    spacing = np.linalg.norm(other[:3, :3], axis=0)
    return bool(np.allclose(one, other, rtol=1e-5, atol=1e-4 * float(np.min(spacing))))


def _warn_of_doubts(path: Path, header: Any, affine: NDArray[np.float64]) -> None:
    """Warn about ambiguous geometry in a header, and state how it is interpreted."""
    shape = (*header.get_data_shape(), 1)[:SPATIAL_AXES]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (header["qform_code"] or header["sform_code"]):
        logger.warning(
            "%s: does not state its position (qform and sform codes 0); as in nibabel, x is assumed to point left, y "
            "to the front and z to the top, with the origin in the centre",
            path,
        )
    _warn_of_contradiction(path, header, shape)
    longest = float(np.max(spacing * shape))
    if _unit_code(header) != MICROMETRE and not PLAUSIBLE_MM[0] <= longest <= PLAUSIBLE_MM[1]:
        stated = "metres" if _unit_code(header) == METRE else "millimetres"
        logger.warning(
            "%s: its longest side is %.4g mm, which is implausible for a brain; its voxel sizes are taken as %s. Check "
            "xyzt_units and pixdim of its header",
            path,
            longest,
            stated,
        )


def _warn_of_contradiction(path: Path, header: Any, shape: tuple[int, ...]) -> None:
    """Warn about an sform that differs from the qform or, without one, from the voxel size."""
    if not header["sform_code"]:
        return
    unit = _unit(header)
    sform = unit @ header.get_sform()
    spacing = np.linalg.norm(sform[:3, :3], axis=0)
    if header["qform_code"]:
        other, name = _qform(header), "qform"
        if other is None:
            logger.warning("%s: its qform is not a rotation and is ignored; the sform is used", path)
            return
        other = unit @ other
    else:
        other, name = sform.copy(), "pixdim"
        sizes = unit[0, 0] * np.asarray(header["pixdim"][1 : SPATIAL_AXES + 1], dtype=np.float64)
        other[:3, :3] *= sizes / spacing
    corners = np.array([[*corner, 1] for corner in itertools.product(*((-0.5, size - 0.5) for size in shape))])
    distance = float(np.max(np.linalg.norm(corners @ (sform - other).T, axis=1)))
    if distance > MAX_DISAGREEMENT * float(np.min(spacing)):
        logger.warning(
            "%s: its sform and its %s contradict each other: they put corners of the volume up to %.4g %s apart. The "
            "sform is used, and both are kept",
            path,
            name,
            distance,
            "um" if _unit_code(header) == MICROMETRE else "mm",
        )


def _check_partner(path: Path) -> None:
    """Check that both files of a pair exist."""
    stem, zipped = (path.name[:-3], path.name[-3:]) if path.name.lower().endswith(".gz") else (path.name, "")
    ending = stem[-4:]
    if ending.lower() not in PARTNERS or not path.is_file():
        return
    other = PARTNERS[ending.lower()]
    partner = path.with_name(f"{stem[:-4]}{other.upper() if ending.isupper() else other}{zipped}")
    if not partner.is_file():
        raise UserError(
            f"{path}: is one file of a pair, but {partner.name} is not beside it. Put it there, or convert the pair to "
            "one .nii.gz file first (a run of the workflow fetches one file for each source)."
        )


def _check(path: Path, file: Any) -> None:
    if isinstance(file, nib.AnalyzeImage) and not isinstance(file, nib.Nifti1Pair):
        raise UserError(
            f"{path}: is Analyze 7.5, which does not distinguish left from right. Convert it to NIfTI with a program "
            "that knows its origin."
        )
    if not isinstance(file, nib.Nifti1Pair):
        raise UserError(f"{path}: is not NIfTI but {type(file).__name__}.")
    intent = int(file.header["intent_code"])
    if intent in VECTOR_INTENTS and np.prod(file.shape[SPATIAL_AXES:], dtype=np.int64) > 1:
        raise UserError(
            f"{path}: contains {VECTOR_INTENTS[intent]} (intent code {intent}), not intensities; an image with one "
            "number per voxel is needed."
        )
    check_spacing(path, _stated_spacing(file))


def _stated_spacing(file: Any) -> NDArray[np.floating]:
    """Return the voxel size in the header for axes with several voxels: nibabel replaces zeros by ones."""
    with ImageOpener(str(file_of(file, "header"))) as stream:
        stated = type(file.header).from_fileobj(stream, check=False)["pixdim"][1 : SPATIAL_AXES + 1]
    return np.abs([size for size, count in zip(stated, file.shape, strict=False) if count > 1])
