"""The record of a combined volume: a JSON file beside it with its scans, transforms, settings and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import __version__
from pipeline.config.combine import Combine
from pipeline.fidelity.gate.scans import ScanGates
from pipeline.files import sha256_of, write_json
from pipeline.image.rigid import Rigid
from pipeline.inference.combine.combine import Combined
from pipeline.inference.combine.scan import Scan
from pipeline.inference.restore_file import split_suffix


@dataclass(frozen=True)
class GateRecord:
    """Result of one consistency gate."""

    gate: str
    value: float
    limit: float
    passed: bool


@dataclass(frozen=True)
class ScanRecord:
    """One scan of a combined volume.

    Attributes:
        file: path as given.
        sha256: of the file; None for folders.
        voxel_mm: voxel size along the canonical axes.
        slice_axis: canonical axis (0 sagittal, 1 coronal, 2 axial slices).
        thickness_mm: full width at half maximum of the slice profile.
        thickness_source: given, dicom, sidecar, estimated or assumed.
        profile: shape of the slice profile.
        noise_sigma: estimated noise level, as a fraction of the intensity range of the scan.
        motion: from positions in the volume to positions in the scan.
        gain: intensity of the scan relative to the first one, both normalised.
        offset: difference of intensities.
        slices_left_out: slices with weight 0.
        slices_weakened: slices with a weight between 0 and 1.
        gates: consistency of the volume with the scan.
    """

    file: str
    sha256: str | None
    voxel_mm: tuple[float, ...]
    slice_axis: int
    thickness_mm: float
    thickness_source: str
    profile: str
    noise_sigma: float
    motion: Rigid
    gain: float
    offset: float
    slices_left_out: tuple[int, ...]
    slices_weakened: tuple[int, ...]
    gates: tuple[GateRecord, ...]


@dataclass(frozen=True)
class CombinedRecord:
    """How a volume was combined.

    Attributes:
        version: of BrainSR.
        settings: the section `combine`.
        shape: number of voxels along the canonical axes.
        voxel_mm: voxel size along these axes.
        scans: the scans; the first one defines space and intensities.
    """

    version: str
    settings: dict[str, Any]
    shape: tuple[int, ...]
    voxel_mm: tuple[float, ...]
    scans: tuple[ScanRecord, ...]


def record_of(found: Combined, settings: Combine, gates: Sequence[ScanGates]) -> CombinedRecord:
    """Return the record of a combined volume."""
    scans = tuple(_scan_record(scan, one) for scan, one in zip(found.scans, gates, strict=True))
    return CombinedRecord(__version__, settings.model_dump(mode="json"), found.grid.shape, found.grid.spacing, scans)


def record_path(output: Path) -> Path:
    """Return the path of the record of a volume: sr.nii.gz has sr.json."""
    stem, _ = split_suffix(output)
    return output.with_name(f"{stem}.json")


def write_record(output: Path, record: CombinedRecord) -> None:
    """Write the record beside its volume, whole or not at all."""
    write_json(record_path(output), asdict(record))


def _scan_record(scan: Scan, gates: ScanGates) -> ScanRecord:
    path = Path(scan.name)
    weights = scan.slice_weights
    return ScanRecord(
        file=scan.name,
        sha256=sha256_of(path) if path.is_file() else None,
        voxel_mm=scan.image.spacing,
        slice_axis=scan.image.slice_axis,
        thickness_mm=scan.profile.thickness_mm,
        thickness_source=scan.profile.source,
        profile=scan.profile.shape,
        noise_sigma=scan.sigma,
        motion=scan.motion,
        gain=scan.gain,
        offset=scan.offset,
        slices_left_out=tuple(np.flatnonzero(weights == 0).tolist()),
        slices_weakened=tuple(np.flatnonzero((weights > 0) & (weights < 1)).tolist()),
        gates=tuple(GateRecord(one.gate, one.value, one.limit, one.passed) for one in gates.checks),
    )
