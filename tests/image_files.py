"""Image files of many formats, written by the libraries of those formats and not by BrainSR."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import tifffile
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, generate_uid

MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
PLANES: dict[str, tuple[float, ...]] = {
    "axial": (1, 0, 0, 0, 1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (0.8, 0.6, 0, -0.48, 0.64, -0.6),
    "upside down": (-1, 0, 0, 0, -1, 0),
}
"""Direction cosines of rows and columns (ImageOrientationPatient)."""
SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "rle": RLELossless,
}


def numbers(shape: Sequence[int], dtype: str, seed: int = 0) -> NDArray:
    """Return random values over much of the range of a dtype."""
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return (1000 * random.standard_normal(shape)).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(max(limits.min, -(2**30)), min(limits.max, 2**30), shape, dtype=dtype, endpoint=True)


def dicom_slice(pixels: NDArray, index: int, plane: str = "axial", **changes: Any) -> pydicom.Dataset:
    """Return one slice of a series, 2.5 mm from the next; `pixels` has rows and columns, `changes` are elements."""
    cosines = np.array(PLANES[plane])
    normal = np.cross(cosines[:3], cosines[3:])
    header = pydicom.Dataset()
    header.SOPClassUID = MR_STORAGE
    header.SOPInstanceUID = generate_uid(entropy_srcs=["slice", plane, str(index)])
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3.1", "1.2.3.4"
    header.FrameOfReferenceUID = "1.2.3.5"
    header.PatientName, header.PatientID = "Müller^Jörg", "P1"
    header.SpecificCharacterSet = "ISO_IR 100"
    header.Modality, header.SeriesDescription = "MR", "T1 MPRAGE"
    header.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    header.InstanceNumber = index + 1
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = pixels.dtype.itemsize * 8
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = int(pixels.dtype.kind == "i")
    header.PixelSpacing = [0.75, 0.5]
    header.SliceThickness = 2.0
    header.ImageOrientationPatient = [float(value) for value in cosines]
    header.ImagePositionPatient = [float(value) for value in np.array([-50.0, 20.0, 10.5]) + 2.5 * index * normal]
    header.add_new((0x0029, 0x0010), "LO", "A VENDOR")
    for key, value in changes.items():
        setattr(header, key, value)
    header.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes() + bytes(pixels.nbytes % 2)
    return header


def write_dicom(path: Path, header: pydicom.Dataset, syntax: str = "explicit") -> Path:
    """Write a slice in a transfer syntax."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header.file_meta = pydicom.dataset.FileMetaDataset()  # pyright: ignore[reportAttributeAccessIssue]
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if syntax == "rle":
        header.compress(RLELossless, generate_instance_uid=False)
    elif syntax != "explicit":
        header.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
        if syntax == "big-endian" and header.BitsAllocated > 8:
            header.PixelData = np.frombuffer(header.PixelData, f"<u{header.BitsAllocated // 8}").byteswap().tobytes()
    pydicom.dcmwrite(path, header, enforce_file_format=True)
    return path


def write_series(
    folder: Path, data: NDArray, plane: str = "axial", syntax: str = "explicit", order: int = 1, **changes: Any
) -> Path:
    """Write a series, `data` of shape (columns, rows, slices); with order -1 the file names run against the slices."""
    for index in range(data.shape[2]):
        name = f"IM{index if order > 0 else data.shape[2] - index:04d}"
        write_dicom(folder / name, dicom_slice(data[:, :, index].T, index, plane, **changes), syntax)
    return folder


def write_ome(path: Path, data: NDArray, axes: str, **metadata: Any) -> Path:
    """Write an OME-TIFF with pixels of 0.25 x 0.5 um, slices 2 um apart, and the channels DAPI, GFP and so on."""
    names = ["DAPI", "GFP", "Cy5"][: data.shape[axes.index("C")]] if "C" in axes else ["DAPI"]
    stated = {
        **{"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 500.0, "PhysicalSizeYUnit": "nm"},
        **{"PhysicalSizeZ": 0.002, "PhysicalSizeZUnit": "mm", "Channel": {"Name": names}},
        **metadata,
    }
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata={"axes": axes, **stated})
    return path


def png(picture: NDArray, kind: str = "PNG", **options: Any) -> bytes:
    """Return a picture as the bytes of a file."""
    buffer = io.BytesIO()
    PillowImage.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def deep_png(picture: NDArray[np.uint16]) -> bytes:
    """Return 16-bit colours, shape (rows, columns, 3), as the bytes of a PNG, which Pillow does not write."""
    rows, columns, _ = picture.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in picture)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
