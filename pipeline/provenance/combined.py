"""The record of a combined volume: a JSON file beside it with its scans, transforms, settings and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline import __version__
from pipeline.config.combine import Combine
from pipeline.fidelity.gate.consistency import Check
from pipeline.fidelity.gate.scans import CombinedGates, ScanGates
from pipeline.files import sha256_of, write_json
from pipeline.inference.combine.combine import Combined
from pipeline.inference.combine.scan import Scan
from pipeline.inference.restore_file import split_suffix
from pipeline.provenance.combined_record import CombinedRecord, GateRecord, ScanRecord


def record_of(found: Combined, settings: Combine, gates: CombinedGates) -> CombinedRecord:
    """Return the record of a combined volume."""
    scans = tuple(_scan_record(scan, one) for scan, one in zip(found.scans, gates.scans, strict=True))
    return CombinedRecord(
        version=__version__,
        settings={**settings.model_dump(mode="json"), "model": found.model},
        shape=found.grid.shape,
        voxel_mm=found.grid.spacing,
        scans=scans,
        gates=_gate_records(gates.together.checks),
    )


def record_path(output: Path) -> Path:
    """Return the path of the record of a volume: sr.nii.gz has sr.json."""
    stem, _ = split_suffix(output)
    return output.with_name(f"{stem}.json")


def page_path(output: Path) -> Path:
    """Return the path of the report of a volume: sr.nii.gz has sr.html."""
    return record_path(output).with_suffix(".html")


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
        gates=_gate_records(gates.checks),
    )


def _gate_records(checks: Sequence[Check]) -> tuple[GateRecord, ...]:
    return tuple(GateRecord(one.gate, one.value, one.limit, one.passed) for one in checks)
