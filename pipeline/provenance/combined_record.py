"""What the record of a combined volume contains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.image.rigid import Rigid


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
        settings: the section `combine`, and the network used as prior as `model`.
        shape: number of voxels along the canonical axes.
        voxel_mm: voxel size along these axes.
        scans: the scans; the first one defines space and intensities.
        gates: consistency of the volume with all scans together.
    """

    version: str
    settings: dict[str, Any]
    shape: tuple[int, ...]
    voxel_mm: tuple[float, ...]
    scans: tuple[ScanRecord, ...]
    gates: tuple[GateRecord, ...]
