r"""A DICOM series of single-frame grey images: a folder of files, a zip archive of them, or one file.

It is written back as a series, one file per slice, in one zip archive. Elements that all slices shared are kept where
they are true of the result; private ones and those of single slices are not, which the log says. The pixels are stored
uncompressed. The images are marked as DERIVED\SECONDARY and belong to a new series of the same study, whose
identifiers follow from the pixels and the old series, so that the same result always gets the same ones. Standards:
DICOM PS3.3, C.7.6.2 (image plane) and C.7.6.3 (pixels); PS3.10.

Where a series has several images at each position (time points, echoes, b-values), `frame` chooses one. Where slices
have different rescale slopes, as in PET, the result has one slope for all of them.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.formats import Part
from pipeline.formats._checks import check_affine, check_finite, check_size, header_of
from pipeline.formats._dicom_files import images_in, one_series, telling
from pipeline.formats._dicom_header import WINDOWS, shared_elements
from pipeline.formats._dicom_intensity import as_text, common_map, rescaled
from pipeline.formats._dicom_pixels import is_lossy, limits, stored_pixels, syntax_of
from pipeline.formats._dicom_places import UNEVEN_SHARE, Slice, slice_normal, volume_slices
from pipeline.image.geometry import Orientation
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.missing_values import connected_to_sides
from pipeline.image.slice_profile import MAX_THICKNESS_MM, SliceProfile
from pipeline.sources.bundle import is_picture, opened
from pipeline.sources.packing import write_archive

logger = logging.getLogger(__name__)

SUFFIXES = (".dicom.zip", ".dcm", ".ima")
WRITTEN = (".dicom.zip",)
TITLE = "DICOM"
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's axes run to the left, the back and the top."""
LARGEST_SIDE = 2**16 - 1
"""Rows and Columns are unsigned 16-bit numbers."""
THICKNESS_TOLERANCE = 0.01
"""Maximum relative difference of SliceThickness between the slices of a volume, due to rounding."""
MARK = "BrainSR"
QUANTITY = "uncertainty"
OF_STORED_VALUES = ("PixelPaddingValue", "PixelPaddingRangeLimit", "RealWorldValueMappingSequence")
"""Elements that define the meaning of certain stored values."""


@dataclass(frozen=True, kw_only=True)
class DicomHeader(FileHeader):
    """Header of a DICOM series.

    Attributes:
        elements: elements that all slices share, as DICOM JSON (PS3.18, F).
        series: SeriesInstanceUID.
        distance_mm: distance of neighbouring slices.
    """

    format: str = "dicom"
    elements: dict[str, Any]
    series: str
    distance_mm: float


HEADER = DicomHeader

# pydicom logs values that it repairs; those that matter raise an error here.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def accepts(path: Path) -> bool:
    """Return whether a folder, an archive or a file contains DICOM images."""
    with opened(path) as bundle:
        return any(bundle.is_dicom(name) for name in bundle.sizes if not is_picture(name))


def read(path: Path, part: Part = Part()) -> Image:
    """Read a series into canonical order with rescaled intensities, float64.

    Args:
        path: folder, zip archive, or single file.
        part: its `series` is the SeriesInstanceUID or SeriesDescription of one of several series, its `frame` one of
            several images at each position, such as time points or echoes.

    Raises:
        UserError: the files are missing, damaged, coloured or mosaics, or no complete volume of one series.
    """
    part.check(path, TITLE, ("series", "frame"))
    with opened(path) as bundle:
        slices = volume_slices(path, one_series(path, images_in(bundle), part.series), part.frame)
        check_size(path, (*_size(slices[0].header), len(slices)), 2, sum(bundle.sizes[one.name] for one in slices))
        stored = [stored_pixels(bundle, one) for one in slices]
    affine = TO_RAS @ _affine(path, slices)
    check_affine(path, affine)
    physical, maps = rescaled(path, slices, stored)
    check_finite(path, physical)
    header = pydicom.Dataset.from_json(dict(shared_elements(path, slices)))
    intensity, header = common_map(path, header, physical, maps)
    if any(is_lossy(one.header) for one in slices):
        header.LossyImageCompression = "01"
        logger.warning(
            "%s: the images were compressed with loss (%s); what was lost cannot be restored, and traces of the "
            "compression may be sharpened",
            path,
            syntax_of(slices[0].header).name,
        )
    padded = _padding(header, physical, intensity)
    if padded:
        physical[padded.mask] = np.nan
    orientation = Orientation.of_affine(affine)
    data, turned = orientation.to_canonical(physical, affine)
    return Image(
        data=data,
        affine=turned,
        intensity=intensity,
        header=DicomHeader(
            orientation=orientation,
            elements=header.to_json_dict(),
            series=str(slices[0].header.get("SeriesInstanceUID", "")),
            distance_mm=float(np.linalg.norm(affine[:3, 2])),
            missing_value=padded.value if padded else None,
        ),
        slice_profile=_profile(path, slices, orientation.axes[2]),
    )


class Padding(NamedTuple):
    """Where a series is padded, shape (columns, rows, slices), and the physical value there."""

    mask: NDArray[np.bool_]
    value: float


def _padding(header: Any, physical: NDArray[np.float64], intensity: IntensityMap) -> Padding | None:
    """Return the declared padding (PS3.3, C.7.5.1.1.2) around the image, such as the corners beyond the field of a CT.

    Padding counts only where it reaches the sides of the slices and lies beyond all other values: many scanners declare
    0, which occurs in heads as well.
    """
    stored = header.get("PixelPaddingValue")
    if stored is None:
        return None
    limit = header.get("PixelPaddingRangeLimit", stored)
    value, other = (float(one) * intensity.slope + intensity.intercept for one in (stored, limit))
    half = abs(intensity.slope) / 2
    mask = (physical > min(value, other) - half) & (physical < max(value, other) + half)
    rest = physical[~mask]
    if not mask.any() or not rest.size or (rest.min() < min(value, other) and rest.max() > max(value, other)):
        return None
    return Padding(connected_to_sides(mask, 2), value)


def write(path: Path, image: Image) -> int:
    """Write a normalised canonical image as a series in one zip archive, with the bit depth and slope of its source.

    Returns:
        Number of voxels that were clipped to the range of the file.

    Raises:
        UserError: a slice has more rows or columns than DICOM allows.
    """
    source = header_of(image, DicomHeader)
    header = pydicom.Dataset.from_json(source.elements)
    values = image.data
    if source.missing_value is not None:
        padding = image.intensity.normalise(np.array(source.missing_value))
        values = np.where(np.isnan(values), padding, values)
    stored, saturated = image.intensity.to_stored(values, limits(header))
    assert source.orientation is not None
    data, affine = source.orientation.from_canonical(stored, image.affine)
    if max(data.shape[:2]) > LARGEST_SIDE:
        raise UserError(f"{path}: slices of {data.shape[:2]} pixels; DICOM allows {LARGEST_SIDE} along a side.")
    with replacing(path) as partial:
        write_archive(partial, _files(header, image, data, TO_RAS @ affine), compressed=True)
    return saturated


def as_quantity(image: Image) -> Image:
    """Convert an image to integers with a new slope, so that its maximum uses the whole range of the pixels.

    The series description states that it is an uncertainty map. Windows and meanings of single stored values are
    left out, since they apply to intensities.
    """
    source = header_of(image, DicomHeader)
    header = pydicom.Dataset.from_json(source.elements)
    lowest, highest = limits(header)
    largest = float(np.max(image.intensity.to_physical(image.data)))
    step = float(as_text(largest / (highest - max(lowest, 0)) * (1 + 1e-9))) if largest else 1.0
    # In MONOCHROME1, large values are bright only if the slope is negative.
    inverted = image.intensity.slope < 0
    slope, intercept = (-step, float(as_text(step * highest))) if inverted else (step, 0.0)
    header.SeriesDescription = f"{header.get('SeriesDescription') or ''} {QUANTITY}".strip()
    for name in (*WINDOWS, *OF_STORED_VALUES):
        if name in header:
            delattr(header, name)
    changed = replace(source, elements=header.to_json_dict())
    return replace(image, intensity=replace(image.intensity, slope=slope, intercept=intercept), header=changed)


def _size(header: Any) -> tuple[int, int]:
    """Return the number of columns and rows."""
    return int(header.Columns), int(header.Rows)


def _affine(path: Path, slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Return the affine from indices (column, row, slice) to millimetres along DICOM's axes (PS3.3, C.7.6.2.1.1).

    Where the slices do not follow each other along their normal (gantry tilt), neither does its third column.
    """
    first = slices[0]
    with telling(path, first.name):
        row, column = np.array(first.header.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        between_rows, between_columns = (float(size) for size in first.header.PixelSpacing)
        normal = slice_normal(first.header)
        if len(slices) > 1:
            step = (slices[-1].corner - first.corner) / (len(slices) - 1)
            _compare_distance(path, first.header, float(step @ normal))
        else:
            step = normal * _thickness(path, first.header)
    affine = np.eye(4)
    affine[:3, 0] = row / np.linalg.norm(row) * between_columns
    affine[:3, 1] = column / np.linalg.norm(column) * between_rows
    affine[:3, 2], affine[:3, 3] = step, first.corner
    return affine


def _compare_distance(path: Path, header: Any, distance: float) -> None:
    """Warn about a SpacingBetweenSlices that contradicts the positions: slices may be missing or foreign."""
    said = abs(float(header.get("SpacingBetweenSlices") or distance))
    if abs(said - distance) > UNEVEN_SHARE * distance:
        logger.warning(
            "%s: SpacingBetweenSlices is %.4g mm, but the slices lie %.4g mm apart (ImagePositionPatient, which is "
            "used); is every slice there?",
            path,
            said,
            distance,
        )


def _thickness(path: Path, header: Any) -> float:
    """Return the slice distance of a single slice, in millimetres."""
    given = [header.get(key) for key in ("SpacingBetweenSlices", "SliceThickness")]
    known = next((abs(float(value)) for value in given if value), None)
    if known is None:
        logger.warning(
            "%s: is one slice without SpacingBetweenSlices and SliceThickness; it is assumed to be 1 mm thick", path
        )
    return known or 1.0


def _profile(path: Path, slices: Sequence[Slice], axis: int) -> SliceProfile | None:
    """Return the slice profile; None if SliceThickness is missing, empty, 0 or not the same in all slices.

    Args:
        path: for messages.
        slices: of one volume.
        axis: axis of the canonical array along which they are stacked.
    """
    found = sorted({_stated_thickness(path, one) for one in slices})
    if found[-1] - found[0] > THICKNESS_TOLERANCE * abs(found[-1]):
        logger.warning(
            "%s: SliceThickness lies between %.4g and %.4g mm; it is treated as unknown", path, found[0], found[-1]
        )
        return None
    if not found[0]:
        return None
    if not 0 < found[0] <= MAX_THICKNESS_MM:
        logger.warning("%s: SliceThickness is %.4g mm, which is impossible; it is treated as unknown", path, found[0])
        return None
    return SliceProfile(found[0], "gaussian", "dicom", axis)


def _stated_thickness(path: Path, one: Slice) -> float:
    """Return SliceThickness in mm, 0 if it is missing or empty."""
    with telling(path, one.name):
        return float(one.header.get("SliceThickness") or 0)


def _files(header: Any, image: Image, data: NDArray, affine: NDArray[np.float64]) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of the files; `affine` leads to DICOM's axes, `data` is (column, row, slice)."""
    source = header_of(image, DicomHeader)
    digest = hashlib.sha256(data.tobytes() + affine.tobytes()).hexdigest()
    series = generate_uid(entropy_srcs=[MARK, source.series, digest])
    _describe(header, image, affine, series, data.shape[2])
    digits = max(4, len(str(data.shape[2])))
    for index in range(data.shape[2]):
        header.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(index)])
        header.InstanceNumber = index + 1
        header.ImagePositionPatient = [as_text(value) for value in (affine @ [0, 0, index, 1])[:3]]
        pixels = np.ascontiguousarray(data[:, :, index].T)
        header.Rows, header.Columns = pixels.shape
        content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        header.PixelData = content + bytes(len(content) % 2)
        yield f"{index + 1:0{digits}}.dcm", _encoded(header)


def _describe(header: Any, image: Image, affine: NDArray[np.float64], series: str, slices: int) -> None:
    """Set the elements that all slices of the result share."""
    header.HighBit = header.BitsStored - 1
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SeriesInstanceUID = series
    header.ImageType = ["DERIVED", "SECONDARY", *list(header.get("ImageType") or [])[2:]]
    header.SeriesDescription = f"{header.get('SeriesDescription') or ''} {MARK}".strip()
    header.DerivationDescription = f"Super-resolution by {MARK}"
    sizes: NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    header.ImageOrientationPatient = [as_text(value) for value in (affine[:3, :2] / sizes[:2]).T.ravel()]
    header.PixelSpacing = [as_text(sizes[1]), as_text(sizes[0])]
    if header.get("SliceThickness"):
        header.SliceThickness = as_text(
            float(header.SliceThickness) * sizes[2] / header_of(image, DicomHeader).distance_mm
        )
    if slices > 1 or header.get("SpacingBetweenSlices"):
        header.SpacingBetweenSlices = as_text(abs(float(affine[:3, 2] @ slice_normal(header))))
    slope, intercept = image.intensity.slope, image.intensity.intercept
    if header.PhotometricInterpretation == "MONOCHROME1":
        slope, intercept = -slope, intercept + slope * sum(limits(header))
    if (slope, intercept) != (1.0, 0.0) or "RescaleType" in header or header.get("Modality") == "CT":
        header.RescaleSlope, header.RescaleIntercept = as_text(slope), as_text(intercept)


def _encoded(header: Any) -> bytes:
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, header, enforce_file_format=True)
    return buffer.getvalue()
