"""The consistency gate for a volume that was combined from several scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.fidelity.gate.consistency import Check, Residuals, check_residuals, signal_support, window_sizes
from pipeline.inference.combine.combine import Combined
from pipeline.inference.combine.prediction import predicted
from pipeline.inference.combine.reading import NOISE
from pipeline.inference.combine.scan import MIN_SIGMA, Scan
from pipeline.physics.forward import ForwardModel


@dataclass(frozen=True)
class ScanGates:
    """Results of the gates for one scan.

    Attributes:
        scan: name of the scan.
        checks: one result per gate.
    """

    scan: str
    checks: Sequence[Check]

    @property
    def failed(self) -> list[Check]:
        """Gates that the volume fails."""
        return [check for check in self.checks if not check.passed]


def check_scans(found: Combined, volume: np.ndarray | None = None) -> list[ScanGates]:
    """Apply the consistency gate to a combined volume and each of its scans, in their registered positions.

    Args:
        found: volume and scans.
        volume: another volume to check, in units of the first scan; None for that of `found`.
    """
    return [ScanGates(scan.name, _checks(scan, found, volume)) for scan in found.scans]


def _checks(scan: Scan, found: Combined, volume: np.ndarray | None) -> list[Check]:
    degraded, used = predicted(scan, found.volume if volume is None else volume, found.grid)
    measured = scan.image.data.astype(np.float64)
    axis = scan.image.slice_axis
    fine = min(found.grid.spacing)
    model = ForwardModel(
        factors=tuple(max(1.0, length / fine) for length in scan.image.spacing),
        hr_shape=found.grid.shape,
        noise=NOISE,
        noise_sigma=max(scan.sigma, MIN_SIGMA),
        slice_axis=axis,
    )
    expected = np.asarray(model.expected_value(degraded), dtype=np.float64)
    support = signal_support(measured, model) & used
    residuals = Residuals(
        np.where(used, measured, expected),
        degraded.astype(np.float64),
        expected,
        np.asarray(model.standard_deviation(degraded), dtype=np.float64),
        support,
    )
    windows = window_sizes(scan.image.spacing, axis, across_slices=True)
    return check_residuals(residuals, model, windows)
