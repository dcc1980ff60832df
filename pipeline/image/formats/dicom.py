r"""A DICOM series of single-frame grey images: a folder of files, a zip archive of them, or one file.

It is written back as a series, one file a slice, in one zip archive. Elements that all slices shared are kept, private
ones and those of single slices are not; the pixels are stored uncompressed. The images are marked as DERIVED\SECONDARY
and belong to a new series of the same study, whose identifiers follow from the pixels and the old series, so that the
same result always gets the same ones. Standards: DICOM PS3.3, C.7.6.2 (image plane) and C.7.6.3 (pixels); PS3.10.

Where slices have different rescale slopes, as in PET, the result has one slope for all of them.
"""

from __future__ import annotations

import hashlib
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.image.formats import Part
from pipeline.image.formats._checks import check_affine, check_finite, check_size
from pipeline.image.formats._dicom_files import DAMAGE, Slice, images_in, one_series, sorted_slices, telling
from pipeline.image.geometry import Orientation
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.sources.packing import Bundle, is_picture, opened, write_archive

SUFFIXES = (".dicom.zip", ".dcm", ".ima")
WRITTEN = (".dicom.zip",)
TITLE = "DICOM"
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's axes run to the left, the back and the top."""
DEPTHS = (8, 16, 32)
"""Bits that a pixel may take in a file."""
LARGEST_SIDE = 2**16 - 1
"""Rows and Columns are unsigned 16-bit numbers."""
MARK = "BrainSR"
QUANTITY = "expected error"
WINDOWS = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTSequence")
PRIVATE_GROUPS = 2
"""Groups with odd numbers are private: a remainder of one."""
PIXEL_GROUPS = (0x7FE0, *range(0x6000, 0x6100, 2))
"""Pixels, and overlays of their size."""
OF_ONE_IMAGE = (
    *("SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber", "ImagePositionPatient", "SliceLocation"),
    *("AcquisitionNumber", "InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "IconImageSequence", "ReferencedImageSequence"),
    *("SourceImageSequence", "RescaleSlope", "RescaleIntercept", "DataSetTrailingPadding"),
)
"""Said anew or no longer true; in a series of one slice they would pass for what all slices share."""

# pydicom remarks on values that it mends; what matters of that is an error here, told once.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def accepts(path: Path) -> bool:
    """Says whether a folder, an archive or a file holds DICOM images."""
    with opened(path) as bundle:
        return any(bundle.is_dicom(name) for name in bundle.sizes if not is_picture(name))


def read(path: Path, part: Part = Part()) -> Image:
    """Reads a series into canonical order with rescaled intensities, float64.

    Args:
        path: folder, zip archive, or single file.
        part: its `series` is the SeriesInstanceUID or SeriesDescription of one of several series.

    Raises:
        UserError: the files are missing, damaged, coloured, or no complete volume of one series.
    """
    part.check(path, TITLE, ("series",))
    with opened(path) as bundle:
        slices = sorted_slices(path, one_series(path, images_in(bundle), part.series))
        check_size(path, (*_size(slices[0].header), len(slices)), 2, sum(bundle.sizes[one.name] for one in slices))
        stored = [_stored(bundle, one) for one in slices]
    affine = TO_RAS @ _affine(path, slices)
    check_affine(path, affine)
    physical, intensity = _physical(path, slices, stored)
    check_finite(path, physical)
    orientation = Orientation.of_affine(affine)
    data, turned = orientation.to_canonical(physical, affine)
    return Image(
        data=data,
        affine=turned,
        intensity=intensity,
        origin={
            "format": "dicom",
            "orientation": {"axes": orientation.axes, "flips": orientation.flips},
            "orientation_code": orientation.code,
            "shape": list(physical.shape),
            "header": _shared(path, slices),
            "series": str(slices[0].header.get("SeriesInstanceUID", "")),
            "distance_mm": float(np.linalg.norm(affine[:3, 2])),
        },
    )


def write(path: Path, image: Image) -> int:
    """Writes a normalised canonical image as a series in one zip archive, in the depth and with the slope it came in.

    Returns:
        How many voxels had to be clipped to what the file can hold.

    Raises:
        UserError: a slice has more rows or columns than DICOM allows.
    """
    header = pydicom.Dataset.from_json(image.origin["header"])
    limits = _limits(int(header.BitsStored), signed=bool(header.PixelRepresentation))
    stored, saturated = image.intensity.to_stored(image.data, limits)
    orientation = Orientation(**{name: tuple(value) for name, value in image.origin["orientation"].items()})
    data, affine = orientation.from_canonical(stored, image.affine)
    if max(data.shape[:2]) > LARGEST_SIDE:
        raise UserError(f"{path}: slices of {data.shape[:2]} pixels; DICOM allows {LARGEST_SIDE} along a side.")
    with replacing(path) as partial:
        write_archive(partial, _files(header, image, data, TO_RAS @ affine), compressed=True)
    return saturated


def as_quantity(image: Image) -> Image:
    """Returns an image as integers with a slope of its own: the largest value takes the whole range of the pixels.

    The series says that it holds expected errors. Windows are left out, since they are meant for intensities.
    """
    header = pydicom.Dataset.from_json(image.origin["header"])
    lowest, highest = _limits(int(header.BitsStored), signed=bool(header.PixelRepresentation))
    largest = float(np.max(image.intensity.to_physical(image.data)))
    step = float(_number(largest / (highest - max(lowest, 0)) * (1 + 1e-9))) if largest else 1.0
    # Of MONOCHROME1, much is shown bright only where the slope is negative.
    inverted = image.intensity.slope < 0
    slope, intercept = (-step, float(_number(step * highest))) if inverted else (step, 0.0)
    header.SeriesDescription = f"{header.get('SeriesDescription') or ''} {QUANTITY}".strip()
    for name in WINDOWS:
        if name in header:
            delattr(header, name)
    origin = {**image.origin, "header": header.to_json_dict()}
    return replace(image, intensity=replace(image.intensity, slope=slope, intercept=intercept), origin=origin)


def _limits(bits: int, *, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _size(header: Any) -> tuple[int, int]:
    """Columns and rows."""
    return int(header.Columns), int(header.Rows)


def _stored(bundle: Bundle, one: Slice) -> NDArray:
    """Returns the stored pixels of a slice, shape (columns, rows)."""
    content = bundle.read(one.name)
    with telling(bundle.path, one.name):
        dataset: Any = pydicom.dcmread(io.BytesIO(content))
        if dataset.BitsAllocated not in DEPTHS or "PixelData" not in dataset:
            raise ValueError(f"pixels of {dataset.BitsAllocated} bits, {', '.join(map(str, DEPTHS))} are known")
        dtype = np.dtype(f"{'i' if dataset.PixelRepresentation else 'u'}{dataset.BitsAllocated // 8}")
        pixels = _decoded(dataset, content).astype(dtype)
        if pixels.shape != (dataset.Rows, dataset.Columns):
            raise ValueError(f"pixels of shape {pixels.shape}")
        # Bits above those stored may hold an overlay or anything: they are pushed out and replaced by the sign.
        spare = dataset.BitsAllocated - dataset.BitsStored
        return ((pixels << spare) >> spare).T


def _decoded(dataset: Any, content: bytes) -> NDArray:
    """Decodes the pixels with pydicom, or with GDCM where it knows no decoder for their compression."""
    try:
        return np.asarray(dataset.pixel_array)
    except DAMAGE:
        if not dataset.file_meta.TransferSyntaxUID.is_compressed:
            raise
    import SimpleITK

    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(content)
        file.flush()
        values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(file.name, imageIO="GDCMImageIO"))
    slope, intercept = _rescale(dataset)
    return np.rint((values.reshape(values.shape[-2:]) - intercept) / slope)


def _rescale(header: Any) -> tuple[float, float]:
    """Slope and intercept of a slice."""
    slope = float(header.get("RescaleSlope", 1.0))
    intercept = float(header.get("RescaleIntercept", 0.0))
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise ValueError(f"RescaleSlope {slope}, RescaleIntercept {intercept}")
    return slope, intercept


def _affine(path: Path, slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Returns the affine from indices (column, row, slice) to millimetres along DICOM's axes (PS3.3, C.7.6.2.1.1)."""
    first = slices[0]
    with telling(path, first.name):
        row, column = np.array(first.header.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        between_rows, between_columns = (float(size) for size in first.header.PixelSpacing)
        if len(slices) > 1:
            step = (slices[-1].corner - first.corner) / (len(slices) - 1)
        else:
            step = np.cross(row, column) * _thickness(first.header)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * between_columns, column * between_rows
    affine[:3, 2], affine[:3, 3] = step, first.corner
    return affine


def _thickness(header: Any) -> float:
    """The distance that a single slice would have to the next one; a millimetre where the file does not say."""
    given = [header.get(key) for key in ("SpacingBetweenSlices", "SliceThickness")]
    return next((abs(float(value)) for value in given if value), 1.0)


def _physical(path: Path, slices: Sequence[Slice], stored: Sequence[NDArray]) -> tuple[NDArray, IntensityMap]:
    """Rescales the slices; returns them as one array (column, row, slice), and the map by which they are written."""
    maps = []
    for one in slices:
        with telling(path, one.name):
            maps.append(_intensity(one.header, stored[0].dtype.name))
    pairs = zip(stored, maps, strict=True)
    physical = np.stack([pixels.astype(np.float64) * one.slope + one.intercept for pixels, one in pairs], axis=2)
    if len(set(maps)) == 1:
        return physical, maps[0]
    lowest, highest = _limits(int(slices[0].header.BitsStored), signed=bool(slices[0].header.PixelRepresentation))
    slope = float(np.ptp(physical)) / (highest - lowest) or 1.0
    # The shorter text of the numbers is what the file will hold.
    slope = float(format_number_as_ds(slope * (1 + 1e-9)))
    intercept = float(format_number_as_ds(float(physical.min()) - slope * lowest))
    return physical, IntensityMap(1.0, slope, intercept, maps[0].dtype)


def _intensity(header: Any, dtype: str) -> IntensityMap:
    """The map of a slice. Of MONOCHROME1, low values are shown bright: bright means much everywhere else here."""
    slope, intercept = _rescale(header)
    if header.PhotometricInterpretation == "MONOCHROME1":
        lowest, highest = _limits(int(header.BitsStored), signed=bool(header.PixelRepresentation))
        slope, intercept = -slope, slope * (lowest + highest) + intercept
    return IntensityMap(1.0, slope, intercept, dtype)


def _shared(path: Path, slices: Sequence[Slice]) -> Mapping[str, Any]:
    """Returns the elements that all slices share, as DICOM JSON (PS3.18, F), without pixels and private elements."""
    found: dict[str, Any] | None = None
    for one in slices:
        with telling(path, one.name):
            kept = pydicom.Dataset({tag: one.header[tag] for tag in one.header.keys() if _is_kept(tag)})  # noqa: SIM118
            entries = kept.to_json_dict(suppress_invalid_tags=True)
        found = entries if found is None else {tag: value for tag, value in found.items() if entries.get(tag) == value}
    return found or {}


def _is_kept(tag: Any) -> bool:
    keyword = keyword_for_tag(tag)
    return tag.group % PRIVATE_GROUPS == 0 and tag.group not in PIXEL_GROUPS and keyword not in OF_ONE_IMAGE


def _files(header: Any, image: Image, data: NDArray, affine: NDArray[np.float64]) -> Iterator[tuple[str, bytes]]:
    """Gives the names and contents of the files; `affine` leads to DICOM's axes, `data` is (column, row, slice)."""
    digest = hashlib.sha256(data.tobytes() + affine.tobytes()).hexdigest()
    series = generate_uid(entropy_srcs=[MARK, image.origin["series"], digest])
    _describe(header, image, affine, series)
    digits = max(4, len(str(data.shape[2])))
    for index in range(data.shape[2]):
        header.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(index)])
        header.InstanceNumber = index + 1
        header.ImagePositionPatient = [_number(value) for value in (affine @ [0, 0, index, 1])[:3]]
        pixels = np.ascontiguousarray(data[:, :, index].T)
        header.Rows, header.Columns = pixels.shape
        content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        header.PixelData = content + bytes(len(content) % 2)
        yield f"{index + 1:0{digits}}.dcm", _encoded(header)


def _describe(header: Any, image: Image, affine: NDArray[np.float64], series: str) -> None:
    """Sets what all slices of the result share."""
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SeriesInstanceUID = series
    header.ImageType = ["DERIVED", "SECONDARY", *list(header.get("ImageType") or [])[2:]]
    header.SeriesDescription = f"{header.get('SeriesDescription') or ''} {MARK}".strip()
    header.DerivationDescription = f"Super-resolution by {MARK}"
    sizes: NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    header.ImageOrientationPatient = [_number(value) for value in (affine[:3, :2] / sizes[:2]).T.ravel()]
    header.PixelSpacing = [_number(sizes[1]), _number(sizes[0])]
    thickness = float(header.get("SliceThickness") or image.origin["distance_mm"])
    header.SliceThickness = _number(thickness * sizes[2] / image.origin["distance_mm"])
    header.SpacingBetweenSlices = _number(sizes[2])
    slope, intercept = image.intensity.slope, image.intensity.intercept
    if header.PhotometricInterpretation == "MONOCHROME1":
        lowest, highest = _limits(int(header.BitsStored), signed=bool(header.PixelRepresentation))
        slope, intercept = -slope, intercept + slope * (lowest + highest)
    if (slope, intercept) != (1.0, 0.0) or "RescaleType" in header or header.get("Modality") == "CT":
        header.RescaleSlope, header.RescaleIntercept = _number(slope), _number(intercept)


def _number(value: float) -> str:
    """Writes a number as a decimal string of at most 16 characters."""
    return format_number_as_ds(float(value) + 0.0)


def _encoded(header: Any) -> bytes:
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, header, enforce_file_format=True)
    return buffer.getvalue()
