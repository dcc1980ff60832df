"""Scans to be combined: reading, slice profiles, noise levels, registration, and the checks of both."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from pipeline.config.sections import Extract
from pipeline.errors import UserError, about
from pipeline.formats import Part, format_of
from pipeline.formats._sidecar import with_sidecar
from pipeline.image.image import Image
from pipeline.image.intensity_limits import limited
from pipeline.image.normalisation import normalise
from pipeline.image.registration import register
from pipeline.inference.combine.scan import Scan
from pipeline.physics.noise_level import estimate_sigma
from pipeline.physics.resolved_profile import resolved_profile, slice_axis_of
from pipeline.physics.scan_operator import Grid

logger = logging.getLogger(__name__)

MIN_SCANS = 2
NOISE = "rician"


@dataclass(frozen=True)
class Source:
    """A file of a scan, and what the user knows about it.

    Attributes:
        path: file or folder.
        thickness_mm: slice thickness (full width at half maximum); None if the user does not give it.
        frame: volume of a 4-D file.
        series: image to read if the file contains several.
        sidecar: BIDS sidecar, from which the slice thickness is read; None for that beside the file, if there is one.
    """

    path: Path
    thickness_mm: float | None = None
    frame: int | None = None
    series: str | None = None
    sidecar: Path | None = None


def read_scans(sources: Sequence[Source], *, move: bool = True) -> tuple[Scan, ...]:
    """Read scans of one head, and register them to the first one.

    Args:
        sources: two or more scans.
        move: register the scans; otherwise their positions are those of the files.

    Raises:
        UserError: there is only one scan, a file cannot be read, has no voxel size in mm or several volumes, or the
            scans do not overlap or show different heads or contrasts.
    """
    if len(sources) < MIN_SCANS:
        raise UserError(
            "one scan cannot be combined; give two or more scans of one head. brainsr apply restores a single scan."
        )
    scans: list[Scan] = []
    for source in tqdm(sources, "reading and registering scans", disable=None):
        with about(str(source.path)):
            scan = _read(source)
            if scans and move:
                found = register(scans[0].image, scan.image)
                scan = scan.moved(found.transform)
                logger.info(
                    "%s: moved by %.2f mm and %.2f degrees against %s, details correlate by %.2f",
                    *(scan.name, found.transform.shift_mm, found.transform.angle_degrees),
                    *(scans[0].name, found.likeness.detail),
                )
            scans.append(scan)
    return tuple(scans)


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
    if source.sidecar is not None:
        image = with_sidecar(image, source.sidecar)
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
        logger.warning("%s: %d voxels far beyond the intensity range were limited to it", source.path, within.voxels)
    inside = normalised.with_data(within.values)
    sigma = estimate_sigma(inside.data, axis, NOISE).sigma
    logger.info("%s: estimated noise %.4f of the intensity range", source.path.name, sigma)
    return Scan(str(source.path), inside, profile, sigma)


def _check_voxel_size(image: Image) -> None:
    if image.spacing_mm is None or not image.is_anatomical or image.unit != "mm":
        raise UserError("its voxel size in mm and its position are unknown; scans are combined by their positions.")
