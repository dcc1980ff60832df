"""Read the stored pixels of DICOM slices, compressed or not.

pydicom decodes what needs no further package: uncompressed and deflated files, and RLE. GDCM, as a part of SimpleITK,
decodes JPEG, JPEG-LS and JPEG 2000 images (PS3.5, A.4). Which other decoders are installed makes no difference.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import FileMetaDataset

from pipeline.errors import UserError
from pipeline.formats._checks import first_line
from pipeline.formats._dicom_files import DAMAGE, parsed, telling
from pipeline.formats._dicom_places import Slice
from pipeline.sources.bundle import Bundle

logger = logging.getLogger(__name__)

BY_GDCM = (
    *(uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1),
    *(uid.JPEGLSLossless, uid.JPEGLSNearLossless, uid.JPEG2000Lossless, uid.JPEG2000),
)
LOSSY = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless)
"""Lossy transfer syntaxes; JPEG 2000 may be lossy, and then sets LossyImageCompression."""
LAYOUT = (
    *("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    "PixelData",
)
"""Elements that a decoder needs; without rescaling and lookup tables it returns the stored values."""
DECOMPRESS = "decompress it first, with gdcmconv --raw or dcmdjpeg"


def limits(header: Any) -> tuple[int, int]:
    """Return the minimum and the maximum of the stored bits."""
    bits = int(header.BitsStored)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if header.PixelRepresentation else (0, 2**bits - 1)


def syntax_of(header: Any) -> uid.UID:
    """Return the transfer syntax of a file: how its elements and pixels are encoded."""
    return uid.UID(str(header.file_meta.get("TransferSyntaxUID") or ""))


def is_lossy(header: Any) -> bool:
    """Return whether an image was ever compressed with loss."""
    return syntax_of(header) in LOSSY or str(header.get("LossyImageCompression") or "") == "01"


def stored_pixels(bundle: Bundle, one: Slice) -> NDArray:
    """Return the stored pixels of a slice, shape (columns, rows), in the signed or unsigned dtype of its header.

    Raises:
        UserError: the pixels are missing, not integers or damaged, or their compression is not supported.
    """
    content = bundle.read(one.name)
    where = f"{bundle.path}: {one.name!r}"
    with telling(bundle.path, one.name):
        dataset = parsed(content)
        if "PixelData" not in dataset:
            floats = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
            found = "floating-point pixels, which are not supported; convert it" if floats else "no pixels; export it"
            raise UserError(f"{where} has {found} again.")
        pixels = _decoded(where, dataset)
        if pixels.shape != (dataset.Rows, dataset.Columns):
            raise ValueError(f"pixels of shape {pixels.shape}")
        if syntax_of(dataset) in (*LOSSY, uid.JPEG2000) and not dataset.PixelRepresentation:
            pixels = np.clip(pixels, *limits(dataset))  # what is compressed with loss may overshoot
        # Bits above those stored may hold an overlay or anything: they are pushed out and replaced by the sign.
        spare = dataset.BitsAllocated - dataset.BitsStored
        dtype = np.dtype(f"{'i' if dataset.PixelRepresentation else 'u'}{dataset.BitsAllocated // 8}")
        stored = (pixels.astype(dtype) << spare) >> spare
        if spare and not syntax_of(dataset).is_compressed:
            _check_spare_bits(where, dataset, stored)
        return stored.T


def _check_spare_bits(where: str, dataset: Any, stored: NDArray) -> None:
    """Check that padding fits into the stored bits, else it would count as intensities; log other such pixels."""
    order = "<" if syntax_of(dataset).is_little_endian else ">"
    raw = np.frombuffer(dataset.PixelData, stored.dtype.newbyteorder(order), stored.size).reshape(stored.shape)
    beyond = (raw != stored) & (raw >> dataset.BitsStored != 0)
    if not np.any(beyond):
        return
    padding = dataset.get("PixelPaddingValue")
    if padding is not None and np.any(raw[beyond] == int(padding)):
        raise UserError(
            f"{where} is padded with the PixelPaddingValue {padding}, too large for BitsStored {dataset.BitsStored}. "
            "Export it again."
        )
    logger.warning(
        "%s has %d pixels with bits beyond BitsStored %d, as overlays have; they are left out",
        where,
        np.count_nonzero(beyond),
        dataset.BitsStored,
    )


def _decoded(where: str, dataset: Any) -> NDArray:
    """Decode the pixels with pydicom's own decoders or with GDCM.

    Raises:
        UserError: the compression is not supported, or compressed pixels cannot be decoded.
    """
    syntax = syntax_of(dataset)
    if not syntax.is_transfer_syntax:
        raise UserError(f"{where} has the unknown transfer syntax {str(syntax)!r}; {DECOMPRESS}.")
    if not syntax.is_compressed:
        return np.asarray(dataset.pixel_array)
    if syntax not in (*BY_GDCM, uid.RLELossless):
        raise UserError(f"{where} is compressed as {syntax.name}, which is not supported; {DECOMPRESS}.")
    try:
        if syntax in BY_GDCM:
            return _by_gdcm(dataset)
        dataset.pixel_array_options(decoding_plugin="pydicom")
        return np.asarray(dataset.pixel_array)
    except (*DAMAGE, ImportError) as error:
        raise _undecodable(where, syntax, error) from error


def _undecodable(where: str, syntax: uid.UID, error: BaseException) -> UserError:
    return UserError(
        f"{where} is compressed as {syntax.name} and its pixels cannot be decoded ({first_line(error)}). If other "
        f"programs show it, {DECOMPRESS}; otherwise fetch it again."
    )


def _by_gdcm(dataset: Any) -> NDArray:
    """Decode the pixels with GDCM, shape (rows, columns)."""
    import SimpleITK

    bare: Any = pydicom.Dataset()
    for key in LAYOUT:
        bare[key] = dataset[key]
    bare.PhotometricInterpretation = "MONOCHROME2"
    bare.SOPClassUID, bare.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slice.dcm"
        pydicom.dcmwrite(path, bare, enforce_file_format=True)
        values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO"))
    return values.reshape(values.shape[-2:])
