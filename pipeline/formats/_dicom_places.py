"""Sort the images of a DICOM series into one volume: complete, evenly spaced slices on one straight line."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.multival import MultiValue

from pipeline.errors import UserError
from pipeline.formats._checks import chosen_frame
from pipeline.formats._dicom_files import shortened, telling
from pipeline.formats._dicom_kinds import GEOMETRY, check_kind

logger = logging.getLogger(__name__)

ALIKE = (
    *("PatientID", "FrameOfReferenceUID", "Units", "RescaleType"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation"),
)
"""Elements that all slices of a volume share."""
GEOMETRY_TOLERANCE = 2e-4
"""Tolerance of pixel sizes in mm, and of direction cosines: over 500 pixels, a tenth of a pixel."""
SAME_PLACE_MM = 1e-3
"""Slices closer than this, or than `SAME_PLACE_SHARE` of the usual distance, are at the same position."""
SAME_PLACE_SHARE = 0.01
UNEVEN_SHARE = 0.05
"""Maximum relative deviation of the distance of two slices from the usual one: positions are rounded."""
ASTRAY_SHARE = 0.1
"""Maximum deviation of a slice from its expected position, as a share of the pixel size or slice distance."""
TILT_DEGREES = 0.5
"""Minimum angle between the normal and the line through the slices that is logged."""
CONTRAST = (
    *("TemporalPositionIdentifier", "EchoNumbers", "EchoTime", "InversionTime", "FlipAngle", "DiffusionBValue"),
    *("DiffusionGradientOrientation", "ComplexImageComponent", "ImageType", "ConvolutionKernel"),
)
"""Elements that have one value in all slices of a volume."""
TIMES = (
    *("AcquisitionNumber", "TriggerTime", "FrameReferenceTime", "AcquisitionDateTime", "AcquisitionTime"),
    *("ContentTime",),
)
"""Elements that may differ between slices, by which the images at one position are sorted."""
PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Slice:
    """A file, its header without the pixels, and its position.

    Attributes:
        name: of the file, inside its folder or archive.
        header: everything but the pixels.
        corner: centre of the first pixel, in millimetres (left, posterior, superior: DICOM PS3.3, C.7.6.2).
        place: position along the normal of the slices, in millimetres.
    """

    name: str
    header: Any
    corner: NDArray[np.float64]
    place: float


def volume_slices(path: Path, images: dict[str, pydicom.Dataset], frame: int | None) -> list[Slice]:
    """Return the slices of one volume of a series, sorted by position.

    Args:
        path: for messages.
        images: headers of the series by file name.
        frame: which of several images at each position, such as time points or echoes, from 0.

    Raises:
        UserError: the images are no volume: of different sizes or orientations, without a place, one missing, twice
            there or beside the others; or there are several at each position and `frame` does not choose one.
    """
    for name, header in images.items():
        with telling(path, name):
            check_kind(path, name, header)
    _check_orientations(path, images)
    first = next(iter(images.items()))
    for one in images.items():
        with telling(path, one[0]):
            _check_alike(path, first, one)
    normal = slice_normal(first[1])
    slices = []
    for name, header in images.items():
        with telling(path, name):
            corner = np.array(header.ImagePositionPatient, dtype=np.float64)
            if corner.shape != (3,) or not np.all(np.isfinite(corner)):
                raise ValueError("ImagePositionPatient is not a position")
            slices.append(Slice(name, header, corner, float(corner @ normal)))
    slices.sort(key=lambda one: one.place)
    positions = _positions(slices)
    _check_counts(path, positions)
    chosen = _of_frame(path, positions, frame)
    _check_even(path, chosen)
    _check_line(path, chosen, normal)
    return chosen


def slice_normal(header: Any) -> NDArray[np.float64]:
    """Return the unit normal of a slice, along which positions are measured."""
    row, column = np.array(header.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    normal = np.cross(row, column)
    return normal / np.linalg.norm(normal)


def _check_orientations(path: Path, images: dict[str, pydicom.Dataset]) -> None:
    """Check that all images have the same orientation, unlike those of a localizer."""
    groups: list[tuple[NDArray[np.float64], list[str]]] = []
    for name, header in images.items():
        cosines = np.array(header.ImageOrientationPatient, dtype=np.float64)
        near = (names for seen, names in groups if np.allclose(seen, cosines, rtol=0, atol=GEOMETRY_TOLERANCE))
        names = next(near, None)
        if names is None:
            groups.append((cosines, [name]))
        else:
            names.append(name)
    if len(groups) > 1:
        listed = []
        for cosines, names in groups:
            plane = PLANES[int(np.argmax(np.abs(np.cross(cosines[:3], cosines[3:]))))]
            listed.append(f"{plane} {len(names)} (such as {names[0]!r})")
        raise UserError(
            f"{path}: its images have {len(groups)} orientations (ImageOrientationPatient): {shortened(listed)}. They "
            "are several volumes, or a localizer: put those of each orientation into a folder of their own."
        )


def _check_alike(path: Path, one: tuple[str, Any], other: tuple[str, Any]) -> None:
    """Check that two images can be slices of one volume."""
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


def _positions(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Group sorted slices that lie in one plane."""
    gaps = np.diff([one.place for one in slices])
    apart = gaps[gaps > SAME_PLACE_MM]
    limit = max(SAME_PLACE_MM, SAME_PLACE_SHARE * float(np.median(apart))) if apart.size else SAME_PLACE_MM
    positions = [[slices[0]]]
    for one, gap in zip(slices[1:], gaps, strict=True):
        if gap > limit:
            positions.append([one])
        else:
            positions[-1].append(one)
    return positions


def _check_counts(path: Path, positions: Sequence[Sequence[Slice]]) -> None:
    """Check that no image is duplicated or shifted in plane, and that all positions have as many images."""
    for images in positions:
        where = f"at {images[0].place:.2f} mm"
        seen: dict[str, Slice] = {}
        for one in images:
            identifier = str(one.header.get("SOPInstanceUID") or one.name)
            twin = seen.setdefault(identifier, one)
            if twin is not one:
                raise UserError(
                    f"{path}: the slice {where} exists twice: {twin.name!r} and {one.name!r} have the same "
                    "SOPInstanceUID. Remove one."
                )
            distance = float(np.linalg.norm(one.corner - images[0].corner))
            if distance > _tolerance(one) + (one.place - images[0].place):
                raise UserError(
                    f"{path}: {images[0].name!r} and {one.name!r} lie in one plane, {where}, but {distance:.2f} mm "
                    "apart: they belong to different volumes. Put each volume into a folder of its own."
                )
    counts = Counter(len(images) for images in positions)
    usual = counts.most_common(1)[0][0]
    if len(counts) > 1:
        odd = [
            f"{len(images)} at {images[0].place:.2f} mm ({shortened([repr(one.name) for one in images], 2)})"
            for images in positions
            if len(images) != usual
        ]
        raise UserError(
            f"{path}: contains {usual} images at each of {counts[usual]} positions, but {shortened(odd)}. Remove what "
            "does not belong to the volume, or export the series again."
        )


def _tolerance(one: Slice) -> float:
    """Return the maximum in-plane deviation of a slice, in millimetres."""
    return ASTRAY_SHARE * min(float(size) for size in one.header.PixelSpacing)


def _of_frame(path: Path, positions: Sequence[Sequence[Slice]], frame: int | None) -> list[Slice]:
    """Return one image per position: the given frame, sorted by differing elements and instance number."""
    count = len(positions[0])
    if count == 1:
        chosen_frame(path, count, frame)
        chosen = [images[0] for images in positions]
        mixed = _mixed(chosen)
        if mixed:
            logger.warning("%s: treated as one volume, but its slices differ in %s", path, "; ".join(mixed))
        return chosen
    keys = _differing(positions)
    found = f"{count} images at each of {len(positions)} positions, {_described(positions, keys)}"
    ordered = [sorted(images, key=lambda one: _sorting(one, keys)) for images in positions]
    for images in ordered:
        if len({_sorting(one, keys) for one in images}) < count:
            names = shortened([repr(one.name) for one in images], 2)
            raise UserError(
                f"{path}: contains {found}: nothing distinguishes {names}. Put the images of each volume into a folder "
                "of their own."
            )
    if frame is None:
        raise UserError(f"{path}: contains {found}. Choose one with frame: 0 to {count - 1}, in this order.")
    index = chosen_frame(path, count, frame)
    chosen = [images[index] for images in ordered]
    mixed = _mixed(chosen)
    if mixed:
        raise UserError(
            f"{path}: contains {found}, but not the same ones at each: frame {index} would mix {'; '.join(mixed)}. Put "
            "the images of each volume into a folder of their own."
        )
    values = ", ".join(f"{key} {_text(chosen[0].header.get(key))}" for key in keys)
    logger.info("%s: contains %s; frame %d is read (at the first position: %s)", path, found, index, values)
    return chosen


def _sorting(one: Slice, keys: Sequence[str]) -> tuple[Any, ...]:
    return tuple(_comparable(one.header.get(key)) for key in (*keys, "InstanceNumber"))


def _comparable(value: Any) -> tuple[Any, ...]:
    """Return a sort key for any value: missing values first, then numbers, then text."""
    if value is None or value == "":
        return (0,)
    if isinstance(value, (list, tuple, MultiValue)):
        return (3, *(_comparable(part) for part in value))
    return (1, float(value)) if isinstance(value, (int, float)) else _of_text(str(value))


def _of_text(text: str) -> tuple[Any, ...]:
    """Return the sort key of a text; times and decimal strings are sorted as numbers."""
    try:
        return (1, float(text))
    except ValueError:
        return (2, text)


def _differing(positions: Sequence[Sequence[Slice]]) -> list[str]:
    """Return the elements by which the images at one position are sorted.

    These are the elements that differ there and have the same values at every position, such as EchoTime; where there
    are none, the first that differs at every position, such as AcquisitionTime; or none.
    """
    steady, loose = [], []
    for key in (*CONTRAST, *TIMES):
        values = [Counter(_comparable(one.header.get(key)) for one in images) for images in positions]
        if all(len(counted) > 1 for counted in values):
            (steady if all(counted == values[0] for counted in values) else loose).append(key)
    return steady or loose[:1]


def _described(positions: Sequence[Sequence[Slice]], keys: Sequence[str]) -> str:
    """Describe how the images at one position differ."""
    if not keys:
        return "differing in InstanceNumber alone"
    listed = []
    for key in keys:
        found = {_comparable(one.header.get(key)): _text(one.header.get(key)) for one in positions[0]}
        values = [found[value] for value in sorted(found)]
        here = "" if key in CONTRAST else " (at the first position)"
        listed.append(f"{key} {shortened(values)}{here}")
    return f"differing in {' and '.join(listed)}"


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple, MultiValue)):
        return "\\".join(map(str, value))
    return "none" if value is None else str(value)


def _mixed(slices: Sequence[Slice]) -> list[str]:
    """Describe the elements that should be constant over the slices of a volume but vary."""
    found = []
    for key in CONTRAST:
        counted = Counter(_text(one.header.get(key)) for one in slices)
        if len(counted) > 1:
            listed = shortened([f"{value} ({count} slices)" for value, count in counted.most_common()], 3)
            found.append(f"{key} {listed}")
    return found


def _check_even(path: Path, slices: Sequence[Slice]) -> None:
    """Check that the slices are complete and evenly spaced."""
    places = np.array([one.place for one in slices])
    steps = np.diff(places)
    if steps.size == 0:
        return
    usual = float(np.median(steps))
    for index, step in enumerate(steps):
        one, other = slices[index], slices[index + 1]
        if abs(step - usual) > UNEVEN_SHARE * usual:
            missing = round(step / usual) - 1
            what = f"{missing} missing" if missing > 0 else "the slices are unevenly spaced"
            raise UserError(
                f"{path}: between the slices at {one.place:.2f} mm ({one.name!r}) and {other.place:.2f} mm "
                f"({other.name!r}) lie {step:.2f} mm, elsewhere {usual:.2f} mm: {what}. Export the series again."
            )
    astray = np.abs(places - np.linspace(places[0], places[-1], len(places)))
    worst = int(np.argmax(astray))
    if astray[worst] > ASTRAY_SHARE * usual:
        raise UserError(
            f"{path}: the slices are unevenly spaced: that at {places[worst]:.2f} mm ({slices[worst].name!r}) lies "
            f"{astray[worst]:.2f} mm from its position among {len(slices)} evenly spaced ones. Export the series again."
        )


def _check_line(path: Path, slices: Sequence[Slice], normal: NDArray[np.float64]) -> None:
    """Check that the slices lie on a straight line, and log its tilt."""
    if len(slices) == 1:
        return
    corners = np.array([one.corner for one in slices])
    aside = corners - np.outer(corners @ normal, normal)
    numbers = np.arange(len(slices))[:, np.newaxis]
    tolerance = _tolerance(slices[0])
    drift = (aside[-1] - aside[0]) / (len(slices) - 1)
    if np.linalg.norm(aside - aside[0] - numbers * drift, axis=1).max() > tolerance:
        # Medians identify misplaced slices, also the first or the last.
        usual = np.median(np.diff(aside, axis=0), axis=0)
        rest = aside - numbers * usual
        lengths = np.linalg.norm(rest - np.median(rest, axis=0), axis=1)
        astray = [
            f"that at {one.place:.2f} mm ({one.name!r}) by {length:.2f} mm"
            for one, length in zip(slices, lengths, strict=True)
            if length > tolerance
        ]
        raise UserError(
            f"{path}: {len(astray)} of {len(slices)} slices lie to the side of the others (ImagePositionPatient): "
            f"{shortened(astray, 3)}. They are no volume on one grid: export the series again, or resample it first."
        )
    step = (corners[-1] - corners[0]) / (len(slices) - 1)
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(drift), step @ normal)))
    if tilt > TILT_DEGREES:
        logger.warning(
            "%s: the slices are tilted by %.1f degrees against the line through them (gantry tilt); the result keeps "
            "their places, so that its axes are not at right angles",
            path,
            tilt,
        )
