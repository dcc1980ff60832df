"""Combine several scans of one head into one isotropic volume."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import PositiveFloat

from pipeline.errors import UserError


def combine(
    scans: Annotated[tuple[Path, ...], Parameter(name="INPUT")],
    /,
    *,
    output: Path,
    voxel_mm: PositiveFloat | None = None,
    like: Path | None = None,
    thickness_mm: Annotated[tuple[PositiveFloat, ...], Parameter(consume_multiple=True, show_default=False)] = (),
    method: Literal["total_variation", "least_squares"] = "total_variation",
    model: str = "none",
    motion: Annotated[bool, Parameter(negative="--no-motion")] = True,
    frame: int | None = None,
    series: str | None = None,
    report: Annotated[bool, Parameter(negative="--no-report")] = True,
    force: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Combine several scans of one head into one isotropic volume.

    Scans with thick slices in several directions contain more detail than any one of them. They must have the same
    contrast, and may have any orientation, voxel size and noise level. They are registered to the first scan, which
    defines position and intensities of the result. Slices that contradict the other scans are left out and listed.

    Beside the result, such as sr.nii.gz, the command writes its uncertainty map (sr.uncertainty.nii.gz), a record with
    scans, transforms, settings and checks (sr.json), and a report (sr.html). An interrupted combination continues when
    the command is run again.

    Args:
        scans: two or more scans: files, or folders or zip archives of DICOM files.
        output: the result, as NIfTI or in the format of the first scan, in its data type.
        voxel_mm: side of the voxels in mm, 0.2 to 10; by default the finest voxel size of all scans.
        like: image that defines the voxel grid of the result.
        thickness_mm: slice thickness in mm, once for all scans or once for each: the full width at half maximum of a
            Gaussian profile, or 0.76 times the width of rectangular slices; by default that of the files, an estimate,
            or the slice spacing, see the log.
        method: total_variation, or least_squares, which is linear and blurs more.
        model: network used as prior: name of one that ships, such as mri-thick, or generator.safetensors of a trained
            network of any ratio. It restores each scan, and differences from the mean of the restored scans are
            penalised; none reconstructs without a network.
        motion: register the scans; --no-motion trusts the positions in the files, and rejects scans that do not match
            there.
        frame: index of the volume in 4-D files, from 0; it applies to all scans.
        series: image to use if a file or folder contains several.
        report: write the report.
        force: write the result even if it is inconsistent with the scans.
        device: compute device.
    """
    from pipeline.config.combine import MAX_VOXEL_MM, MIN_VOXEL_MM, Combine

    if voxel_mm is not None and like is not None:
        raise UserError("--voxel-mm and --like both define the voxel grid; give one of them.")
    if voxel_mm is not None and not MIN_VOXEL_MM <= voxel_mm <= MAX_VOXEL_MM:
        raise UserError(f"--voxel-mm: {voxel_mm:g} mm; voxels of {MIN_VOXEL_MM:g} to {MAX_VOXEL_MM:g} mm are possible.")
    if len(thickness_mm) not in (0, 1, len(scans)):
        raise UserError(
            f"--thickness-mm: {len(thickness_mm)} values for {len(scans)} scans; give one for all, or one for each."
        )
    from pipeline.inference.combine.files import combine_files
    from pipeline.inference.combine.prior import read_prior
    from pipeline.inference.combine.reading import Source
    from pipeline.models.device import choose_device
    from pipeline.provenance.combined import page_path
    from pipeline.reporting.pages.combined import write_reports

    given = thickness_mm * len(scans) if len(thickness_mm) == 1 else thickness_mm or (None,) * len(scans)
    sources = [Source(path, thickness, frame, series) for path, thickness in zip(scans, given, strict=True)]
    settings = Combine(method=method, voxel_mm=voxel_mm, motion=motion, force=force)
    where = choose_device(device)
    found = combine_files(sources, output, settings, like=like, device=where, prior=read_prior(model, where))
    write_reports(output, found, settings, page_path(output) if report else None)
