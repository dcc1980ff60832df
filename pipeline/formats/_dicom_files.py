"""Read the headers of a folder or archive of DICOM files, and select the images of one series."""

from __future__ import annotations

import io
import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRSpectroscopyStorage,
    RawDataStorage,
    RTDoseStorage,
    RTImageStorage,
    SegmentationStorage,
)

from pipeline.errors import UserError
from pipeline.formats._checks import first_line
from pipeline.sources.bundle import Bundle

logger = logging.getLogger(__name__)

DAMAGE = (
    InvalidDicomError,
    BytesLengthException,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    OverflowError,
    struct.error,
)
"""Exceptions that pydicom raises on broken files, often only when a value is accessed."""
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
NO_IMAGES = (
    *(SegmentationStorage, LABEL_MAP_STORAGE, RTDoseStorage, RTImageStorage, RawDataStorage),
    MRSpectroscopyStorage,
)
"""Objects that may have Rows and Columns but are not images."""
SHOWN = 8
"""Maximum number of series or files listed in a message."""


@contextmanager
def telling(path: Path, name: str) -> Iterator[None]:
    """Convert exceptions of pydicom about a broken file to one message, and silence its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DAMAGE as error:
        raise UserError(f"{path}: {name!r} cannot be read as DICOM ({first_line(error)}). Is it complete?") from error


def parsed(content: bytes, *, stop_before_pixels: bool = False) -> Any:
    """Read a dataset; the transfer syntax of old files that do not state it is inferred from their encoding."""
    dataset = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=stop_before_pixels, force=True)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def images_in(bundle: Bundle) -> dict[str, pydicom.Dataset]:
    """Return the headers of all images of a bundle by file name.

    Other DICOM objects, such as segmentations, structure sets, documents and presentation states, are passed over, and
    the log names them.

    Raises:
        UserError: a file is damaged, or there is no image.
    """
    found: dict[str, pydicom.Dataset] = {}
    others: list[str] = []
    for name in bundle.sizes:
        if bundle.is_dicom(name):
            with telling(bundle.path, name):
                header = parsed(bundle.read(name), stop_before_pixels=True)
                if "Rows" in header and "Columns" in header and header.get("SOPClassUID") not in NO_IMAGES:
                    found[name] = header
                else:
                    others.append(f"{name!r} ({kind_of(header)})")
    listed = shortened(others)
    if not found:
        there = f"only {listed}" if others else "no file that begins as DICOM files do (PS3.10, 7.1)"
        raise UserError(f"{bundle.path}: contains no DICOM image: {there}.")
    if others:
        logger.info("%s: ignored, since they are not images: %s", bundle.path, listed)
    return found


def kind_of(header: Any) -> str:
    """Return the name of an object's SOP class, such as "MR Image Storage"."""
    identifier = str(header.get("SOPClassUID") or "")
    return UID(identifier).name if identifier else "without SOPClassUID"


def shortened(entries: list[str], limit: int = SHOWN) -> str:
    """Return the first entries, separated by commas, and how many more there are."""
    more = f" and {len(entries) - limit} more" if len(entries) > limit else ""
    return f"{', '.join(entries[:limit])}{more}"


def one_series(path: Path, images: dict[str, pydicom.Dataset], series: str | None) -> dict[str, pydicom.Dataset]:
    """Return the images of the only series, or of the requested one.

    Args:
        path: for messages.
        images: headers by name.
        series: SeriesInstanceUID or SeriesDescription.

    Raises:
        UserError: there are several and none was requested, or the requested one is missing or ambiguous.
    """
    groups: dict[str, dict[str, pydicom.Dataset]] = {}
    for name, header in images.items():
        groups.setdefault(str(header.get("SeriesInstanceUID", "")), {})[name] = header
    titles = {
        uid: str(next(iter(group.values())).get("SeriesDescription", "")).strip() for uid, group in groups.items()
    }
    chosen = [uid for uid in groups if series is None or series.strip() in (uid, titles[uid])]
    if len(chosen) == 1:
        return groups[chosen[0]]
    shown = chosen or list(groups)
    there = shortened([f"{titles[uid]!r} ({len(groups[uid])} files, {uid})" for uid in shown])
    if not chosen:
        raise UserError(f"{path}: there is no series {series!r}; it contains {there}.")
    raise UserError(
        f"{path}: contains {len(chosen)} series: {there}. Choose one with series: its description, or its identifier "
        "where two have the same description."
    )
