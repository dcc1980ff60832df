"""Combine the scans of one head from files, and write the volume and its uncertainty map."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline import __version__, plugins
from pipeline.config.combine import Combine
from pipeline.config.families import format_by_name
from pipeline.files import sha256_of
from pipeline.formats import ROOM
from pipeline.formats.io.predictions import check_output, warn_of_clipping, write_quantity
from pipeline.image.image import Image
from pipeline.inference.combine.combine import Combined, combine
from pipeline.inference.combine.grid import isotropic_grid
from pipeline.inference.combine.prediction import predicted
from pipeline.inference.combine.prior import Prior
from pipeline.inference.combine.reading import Source, read_grid, read_scans
from pipeline.inference.combine.scan import Scan
from pipeline.inference.combine.stages import Stages
from pipeline.inference.restore_file import check_target, uncertainty_path
from pipeline.inference.result_check import Agreement, agreement_of, check_agreement, without_outliers
from pipeline.physics.scan_operator import Grid

logger = logging.getLogger(__name__)

NIFTI = "nifti"
ADVICE = (
    "The scans may not show the same head, or their slice profiles may be wrong; --force writes the result (in a run, "
    "combine.force: true)."
)


def combine_files(
    sources: Sequence[Source],
    output: Path,
    settings: Combine,
    *,
    like: Path | None = None,
    device: torch.device | str = "cpu",
    prior: Prior | None = None,
) -> Combined:
    """Combine scans of one head, and write the volume with its uncertainty map beside it.

    Args:
        sources: two or more scans of one contrast.
        output: file of the volume: of the format of the first scan, or NIfTI.
        settings: the section `combine`.
        like: image whose voxel grid the volume has; None for isotropic voxels in the field of view of the first scan.
        device: device of the reconstruction.
        prior: network that restores each scan; None for none.

    Raises:
        UserError: see `read_scans`; also, the output is not of a possible format or would replace an input, or the
            result disagrees with a scan.
    """
    for source in sources:
        check_target(source.path, output)
    given = read_grid(like) if like else None
    scans = read_scans(sources, move=settings.motion, check_first=partial(_target, output=output))
    target = _target(scans[0].image, output)
    grid = given or _grid(scans[0].image, settings, [min(scan.image.spacing) for scan in scans])
    inputs = {
        "version": __version__,
        "sources": [[_fingerprint(one.path), one.thickness_mm, one.frame, one.series] for one in sources],
        "settings": settings.model_dump(mode="json"),
        "grid": [list(grid.shape), grid.affine.tolist()],
        "prior": prior and prior.sha256,
    }
    stages = Stages.beside(output, inputs)
    options = {"method": settings.method, "move": settings.motion, "device": device, "stages": stages, "prior": prior}
    found = combine(scans, grid, **options)
    found = _without_negative_magnitudes(found)
    for scan in found.scans[1:]:
        logger.info("%s: in total, moved by %.2f degrees and %.2f mm", scan.name, *_motion_of(scan, found))
    check_agreement(output.name, _agreement(found), force=settings.force, advice=ADVICE)
    image = replace(target, data=found.volume, affine=grid.affine, masks={}, slice_profile=None)
    clipped = plugins.load(ROOM, image.header.format).write(output, image)
    warn_of_clipping(output, clipped, image.data.size, image.intensity.dtype)
    write_quantity(uncertainty_path(output), image.with_data(found.expected_error))
    Stages.remove(output)
    logger.info("%s written: %s voxels", output, " x ".join(map(str, grid.shape)))
    return found


def _without_negative_magnitudes(found: Combined) -> Combined:
    """Return the volume clipped at 0 if no scan has negative values: reconstructions ring beside edges.

    The noise models of magnitude images, and many programs, refuse negative values.
    """
    lowest = [scan.image.block.stored_minimum for scan in found.scans]
    if any(one is None or one < 0 for one in lowest):
        return found
    intensity = found.scans[0].image.intensity
    zero = np.float32(intensity.normalise(np.zeros(1, dtype=np.float32))[0])
    # One step above, so that rounding does not make it negative again.
    floor = np.nextafter(zero, np.float32(1)) if zero else zero
    return replace(found, volume=np.maximum(found.volume, floor))


def _motion_of(scan: Scan, found: Combined) -> tuple[float, float]:
    """Return the angle in degrees and the displacement of the centre in mm, from the first scan to another."""
    centre = found.grid.affine[:3] @ [*((np.array(found.grid.shape) - 1) / 2), 1.0]
    motion = scan.motion.about(centre)
    return motion.angle_degrees, motion.shift_mm


def _fingerprint(path: Path) -> str:
    """Return the checksum of a file, or the names and sizes of the files in a folder."""
    if path.is_file():
        return sha256_of(path)
    return str(sorted((one.name, one.stat().st_size) for one in path.rglob("*") if one.is_file()))


def _grid(image: Image, settings: Combine, finest: Sequence[float]) -> Grid:
    return isotropic_grid(image, settings.voxel_mm or min(finest))


def _target(image: Image, output: Path) -> Image:
    """Return the image whose header the output has: the first scan, or the same as NIfTI.

    Raises:
        UserError: the name of the output belongs to another format.
    """
    if format_by_name(output.name) == NIFTI and image.header.format != NIFTI:
        image = plugins.load(ROOM, NIFTI).converted(image)
    check_output(output, image)
    return image


def _agreement(found: Combined) -> Agreement:
    """Compare the volume with all scans, on their grids."""
    total = Agreement()
    for scan in found.scans:
        again, used = predicted(scan, found.volume, found.grid, found.thickest_mm)
        measured = np.where(used, without_outliers(scan.image.data, scan.image.data), np.nan)
        total += agreement_of(again, measured, 1.0, scan.sigma, magnitude=True)
    return total
