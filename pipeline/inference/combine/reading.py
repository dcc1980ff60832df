"""Scans to be combined: reading, slice profiles, noise levels, registration, and the checks of both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.config.sections import Extract
from pipeline.errors import UserError, about
from pipeline.files import sha256_of
from pipeline.formats import Part, format_of
from pipeline.formats._sidecar import with_sidecars
from pipeline.image.image import Image
from pipeline.image.intensity_limits import limited
from pipeline.image.normalisation import normalise
from pipeline.image.registration import check_positions, register
from pipeline.inference.combine.scan import Scan
from pipeline.physics.noise_level import estimate_sigma
from pipeline.physics.resolved_profile import resolved_profile, slice_axis_of
from pipeline.physics.scan_operator import Grid

logger = logging.getLogger(__name__)

MIN_SCANS = 2
NOISE = "rician"
SAME_SPACING = 0.02
"""Maximum relative difference of slice spacings that count as equal."""


@dataclass(frozen=True)
class Source:
    """A file of a scan, and what the user knows about it.

    Attributes:
        path: file or folder.
        thickness_mm: slice thickness (full width at half maximum); None if the user does not give it.
        frame: volume of a 4-D file.
        series: image to read if the file contains several.
        sidecars: BIDS sidecars from which the slice thickness is read, the farthest first; if empty, those of the file.
    """

    path: Path
    thickness_mm: float | None = None
    frame: int | None = None
    series: str | None = None
    sidecars: tuple[str, ...] = ()


def read_scans(
    sources: Sequence[Source], *, move: bool = True, check_first: Callable[[Image], object] | None = None
) -> tuple[Scan, ...]:
    """Read scans of one head, and register them to the first one.

    Args:
        sources: two or more scans.
        move: register the scans; otherwise their positions are those of the files.
        check_first: called with the first image before the other scans are read and registered, which takes long.

    Raises:
        UserError: there is only one scan, a file cannot be read, has no voxel size in mm or several volumes, or the
            scans do not overlap or show different heads or contrasts.
    """
    if len(sources) < MIN_SCANS:
        raise UserError(
            "one scan cannot be combined; give two or more scans of one head. brainsr apply restores a single scan."
        )
    _check_files(sources)
    scans: list[Scan] = []
    for source in tqdm(sources, "reading and registering scans", disable=None):
        with about(str(source.path)):
            scan = _read(source)
        if not scans and check_first:
            check_first(scan.image)
        with about(str(source.path)):
            if scans and move:
                found = register(scans[0].image, scan.image)
                scan = scan.moved(found.transform)
                logger.info(
                    "%s: moved by %.2f mm and %.2f degrees against %s, correlation of details %.2f",
                    *(scan.name, found.transform.shift_mm, found.transform.angle_degrees),
                    *(scans[0].name, found.likeness.detail),
                )
            elif scans:
                check_positions(scans[0].image, scan.image)
            scans.append(scan)
    return _with_common_thickness(scans)


def _check_files(sources: Sequence[Source]) -> None:
    """Check that all files exist and differ, before any of them is processed."""
    digests: dict[str, Path] = {}
    for source in sources:
        if not source.path.exists():
            raise UserError(f"{source.path}: there is no such file.")
        digest = sha256_of(source.path) if source.path.is_file() else str(source.path.resolve())
        if digest in digests:
            raise UserError(
                f"{source.path}: is the same as {digests[digest]}; a copy adds no information. Give each scan once."
            )
        digests[digest] = source.path


def _with_common_thickness(scans: Sequence[Scan]) -> tuple[Scan, ...]:
    """Return scans of which those with one slice spacing have one thickness, where it was not stated but estimated.

    Scans of one session mostly share a protocol, and the median of their estimates is more precise than each.
    """
    guessed = [scan for scan in scans if scan.profile.source in ("estimated", "assumed")]
    result = []
    for scan in scans:
        alike = [
            other for other in guessed if abs(_distance(other) - _distance(scan)) <= SAME_SPACING * _distance(scan)
        ]
        estimates = [other.profile.thickness_mm for other in alike if other.profile.source == "estimated"]
        if any(other is scan for other in alike) and len(alike) > 1 and estimates:
            thickness = float(np.median(estimates))
            logger.info("%s: %.3g mm, the median of scans with this slice spacing", scan.name, thickness)
            profile = replace(scan.profile, thickness_mm=thickness, source="estimated")
            scan = replace(scan, profile=profile, image=replace(scan.image, slice_profile=profile))  # noqa: PLW2901
        result.append(scan)
    return tuple(result)


def _distance(scan: Scan) -> float:
    """Return the distance of neighbouring slices in mm."""
    return scan.image.spacing[scan.image.slice_axis]


def read_grid(path: Path) -> Grid:
    """Return the voxel grid of an image, in canonical orientation.

    Raises:
        UserError: the file cannot be read, or its voxel size in mm is unknown.
    """
    with about(str(path)):
        image = format_of(path).read(path, Part())
        _check_voxel_size(image)
    return Grid(image.data.shape, image.affine)


def _read(source: Source) -> Scan:
    image = format_of(source.path).read(source.path, Part(frame=source.frame, series=source.series))
    if source.sidecars:
        image = with_sidecars(image, source.sidecars)
    _check_voxel_size(image)
    if image.stack.has_channels:
        raise UserError("has several channels; only grey images of heads are combined.")
    normalised = normalise(image, Extract())
    profile = resolved_profile(normalised, source.thickness_mm, source.path.name)
    axis = slice_axis_of(replace(normalised, slice_profile=profile))
    if normalised.slicing is not None:
        normalised = replace(normalised, slicing=replace(normalised.slicing, axis=axis), slice_profile=profile)
    within = limited(normalised.data)
    if within.voxels:
        logger.warning("%s: %d voxels far beyond the intensity range were clipped to it", source.path, within.voxels)
    inside = normalised.with_data(within.values)
    sigma = estimate_sigma(inside.data, axis, NOISE).sigma
    logger.info("%s: estimated noise %.4f of the intensity range", source.path.name, sigma)
    return Scan(str(source.path), inside, profile, sigma)


def _check_voxel_size(image: Image) -> None:
    if image.spacing_mm is None or not image.is_anatomical or image.unit != "mm":
        raise UserError("its voxel size in mm and its position are unknown; scans are combined by their positions.")
