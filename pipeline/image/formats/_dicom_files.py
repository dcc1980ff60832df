"""Which DICOM files make a volume: one series, sorted along the normal of its slices, complete and without doubles."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import BytesLengthException, InvalidDicomError

from pipeline.errors import UserError
from pipeline.image.formats._checks import first_line
from pipeline.sources.packing import Bundle

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
"""What pydicom raises on broken files, often only when a value is looked at."""
ALIKE = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation"),
)
"""What all slices of a volume have in common."""
GEOMETRY = ("PixelSpacing", "ImageOrientationPatient")
GEOMETRY_TOLERANCE = 1e-3
"""Of pixel sizes in mm, and of direction cosines: they are written with few digits."""
SAME_PLACE_MM = 1e-3
"""Slices that are nearer to each other are one slice twice."""
UNEVEN_SHARE = 0.05
"""How far the distance of two slices may differ from that of the others, as a share of it: positions are rounded."""
SHOWN = 8
"""Series that a message lists."""


@dataclass(frozen=True)
class Slice:
    """A file, its header without the pixels, and where it lies.

    Attributes:
        name: of the file, inside its folder or archive.
        header: everything but the pixels.
        corner: centre of the first pixel, in millimetres (left, posterior, superior: DICOM PS3.3, C.7.6.2).
        place: its distance along the normal of the slices, in millimetres.
    """

    name: str
    header: pydicom.Dataset
    corner: NDArray[np.float64]
    place: float


@contextmanager
def telling(path: Path, name: str) -> Iterator[None]:
    """Turns what pydicom raises on a broken file into one message, and keeps its warnings to itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DAMAGE as error:
        raise UserError(f"{path}: {name!r} cannot be read as DICOM ({first_line(error)}). Is it whole?") from error


def images_in(bundle: Bundle) -> dict[str, pydicom.Dataset]:
    """Returns the headers of all images of a bundle by the names of their files; other DICOM objects are passed over.

    Raises:
        UserError: a file is damaged, or there is no image.
    """
    found: dict[str, pydicom.Dataset] = {}
    for name in bundle.sizes:
        if bundle.is_dicom(name):
            with telling(bundle.path, name):
                header = pydicom.dcmread(io.BytesIO(bundle.read(name)), stop_before_pixels=True)
                if "Rows" in header and "Columns" in header:
                    found[name] = header
    if not found:
        raise UserError(f"{bundle.path}: holds no DICOM image.")
    return found


def one_series(path: Path, images: dict[str, pydicom.Dataset], series: str | None) -> dict[str, pydicom.Dataset]:
    """Returns the images of the one series there is, or of the one that was asked for.

    Args:
        path: for messages.
        images: headers by name.
        series: SeriesInstanceUID or SeriesDescription.

    Raises:
        UserError: there are several and none was asked for, or the one asked for is not there or not the only one.
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
    listed = [f"{titles[uid]!r} ({len(groups[uid])} files, {uid})" for uid in shown]
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    there = f"{', '.join(listed[:SHOWN])}{more}"
    if not chosen:
        raise UserError(f"{path}: there is no series {series!r}; it holds {there}.")
    raise UserError(
        f"{path}: holds {len(chosen)} series: {there}. Choose one with series: its description, or its identifier "
        "where two have the same description."
    )


def sorted_slices(path: Path, images: dict[str, pydicom.Dataset]) -> list[Slice]:
    """Returns the slices of a series in the order of their places.

    Raises:
        UserError: they are no volume: of different sizes or directions, without a place, one missing or there twice.
    """
    first_name, first = next(iter(images.items()))
    for name, header in images.items():
        with telling(path, name):
            _check_kind(path, name, header)
            _check_alike(path, (first_name, first), (name, header))
    with telling(path, first_name):
        row, column = np.array(first.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        normal: NDArray[np.float64] = np.cross(row, column)
    slices = []
    for name, header in images.items():
        with telling(path, name):
            corner = np.array(header.ImagePositionPatient, dtype=np.float64)
            if corner.shape != (3,) or not np.all(np.isfinite(corner)):
                raise ValueError("ImagePositionPatient is no place")
            slices.append(Slice(name, header, corner, float(corner @ normal)))
    slices.sort(key=lambda one: one.place)
    _check_places(path, slices)
    return slices


def _check_kind(path: Path, name: str, header: Any) -> None:
    """Refuses what is no grey slice with a place in space."""
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UserError(f"{path}: {name!r} holds {frames} frames; convert it to one file a slice first.")
    kind = header.get("PhotometricInterpretation")
    if header.get("SamplesPerPixel", 1) != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise UserError(f"{path}: {name!r} is coloured ({kind}); only grey images can be restored.")
    for key in (*GEOMETRY, "ImagePositionPatient"):
        if not header.get(key):
            raise UserError(f"{path}: {name!r} has no {key}, so where its voxels lie is not known; export it anew.")


def _check_alike(path: Path, one: tuple[str, Any], other: tuple[str, Any]) -> None:
    """Refuses two images that cannot be slices of one volume."""
    for key in (*ALIKE, *GEOMETRY):
        values = [header.get(key) for _, header in (one, other)]
        same = values[0] == values[1]
        if key in GEOMETRY:
            numbers = [np.array(value, dtype=np.float64) for value in values]
            same = numbers[0].shape == numbers[1].shape and np.allclose(*numbers, rtol=0, atol=GEOMETRY_TOLERANCE)
        if not same:
            raise UserError(
                f"{path}: {one[0]!r} and {other[0]!r} are not slices of one volume: their {key} is {values[0]} and "
                f"{values[1]}. Put images such as the localizer elsewhere."
            )


def _check_places(path: Path, slices: Sequence[Slice]) -> None:
    places = np.array([one.place for one in slices])
    steps = np.diff(places)
    if steps.size == 0:
        return
    usual = float(np.median(steps))
    for index, step in enumerate(steps):
        one, other = slices[index], slices[index + 1]
        if step < SAME_PLACE_MM:
            raise UserError(
                f"{path}: the slice at {one.place:.2f} mm stands twice: {one.name!r} and {other.name!r}. Remove one; "
                "several measurements of one place are several series here."
            )
        if abs(step - usual) > UNEVEN_SHARE * usual:
            missing = round(step / usual) - 1
            what = f"{missing} missing" if missing > 0 else "the slices lie unevenly"
            raise UserError(
                f"{path}: between the slices at {one.place:.2f} mm ({one.name!r}) and {other.place:.2f} mm "
                f"({other.name!r}) lie {step:.2f} mm, elsewhere {usual:.2f} mm: {what}. Export the series anew."
            )
