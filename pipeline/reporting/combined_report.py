"""Everything that the sections of the page of a combined volume need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pipeline.image.image import PLANE_AXIS
from pipeline.image.slice_profile import Origin, Shape, SliceProfile
from pipeline.provenance.combined_record import CombinedRecord, GateRecord, ScanRecord
from pipeline.reporting.numbers import format_lengths

TOGETHER = "all scans together"
"""Title of the gates of all scans together."""


@dataclass(frozen=True)
class Card:
    """Images of one column of the gallery, as data URIs.

    Attributes:
        title: shown above.
        images: pairs of an image and the text in place of it: the whole slice first, then details.
        bar: whether the colour bar of the uncertainty map is shown below.
        is_result: whether it shows the combined volume.
    """

    title: str
    images: tuple[tuple[str, str], ...]
    bar: bool = False
    is_result: bool = False


@dataclass(frozen=True)
class PlaneImages:
    """Images of one slice of the combined volume.

    Attributes:
        plane: sagittal, coronal or axial.
        index: index of the slice along its axis.
        count: number of slices along this axis.
        cards: the scans in their order, their mean, the result, and its uncertainty map.
        edges: letters at the left, right, upper and lower edge.
        frame: frame of the detail: left, top, width and height in percent of the image.
        aspect: width over height of whole slices, in mm.
        detail_aspect: width over height of details.
    """

    plane: str
    index: int
    count: int
    cards: tuple[Card, ...]
    edges: tuple[str, ...]
    frame: tuple[float, float, float, float]
    aspect: float
    detail_aspect: float


@dataclass(frozen=True)
class CombinedGallery:
    """Images of the page of a combined volume.

    Attributes:
        planes: one slice in each plane.
        white: intensity displayed as white, in the units of the file.
        brightest: uncertainty with the brightest colour, as a fraction of the intensity range.
        bar: image of the colour bar.
    """

    planes: tuple[PlaneImages, ...]
    white: str
    brightest: float
    bar: str


@dataclass(frozen=True)
class CombinedReport:
    """Inputs of the page of a combined volume.

    Attributes:
        name: file name of the volume.
        record: scans, settings and checks.
        gallery: images.
    """

    name: str
    record: CombinedRecord
    gallery: CombinedGallery

    @property
    def scans(self) -> tuple[ScanRecord, ...]:
        """The scans; the first one defines position and intensities."""
        return self.record.scans

    @property
    def gates(self) -> list[tuple[str, GateRecord]]:
        """The gates of each scan and of all scans together, with the name of the scan."""
        each = [(scan_title(scan), gate) for scan in self.scans for gate in scan.gates]
        return [*each, *((TOGETHER, gate) for gate in self.record.gates)]

    @property
    def failed(self) -> list[tuple[str, GateRecord]]:
        """The gates that the volume fails."""
        return [(scan, gate) for scan, gate in self.gates if not gate.passed]


def scan_title(scan: ScanRecord) -> str:
    """Return the file name of a scan."""
    return Path(scan.file).name


def voxel_text(voxel_mm: Sequence[float]) -> str:
    """Return the size of a voxel along each axis in mm, or the side of an isotropic one."""
    text = format_lengths(voxel_mm, 3)
    sides = set(text.split(" ")[::2])
    return f"{sides.pop() if len(sides) == 1 else text} mm"


def plane_of(slice_axis: int) -> str:
    """Return the plane of slices across a canonical axis."""
    return next(plane for plane, axis in PLANE_AXIS.items() if axis == slice_axis)


def describe_slices(scan: ScanRecord) -> str:
    """Describe the slices of a scan: plane, thickness, distance, gap, profile, and how the thickness is known."""
    profile = SliceProfile(
        scan.thickness_mm, cast(Shape, scan.profile), cast(Origin, scan.thickness_source), scan.slice_axis
    )
    return f"{plane_of(scan.slice_axis)} {profile.describe(scan.voxel_mm[scan.slice_axis])}"
