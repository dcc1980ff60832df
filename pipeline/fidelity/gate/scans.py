"""The consistency gate for a volume that was combined from several scans.

Each scan is compared with its prediction, as a single measurement is (`consistency`). A structure smaller than the
slice thickness hardly changes any single scan, but it changes all of them at one place. The residuals of all scans are
therefore also tested together: weighted by the inverse of their noise, mapped back to the volume by the adjoint of the
acquisition model, and summed over windows of lesion size. This is the matched filter for such structures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats

from pipeline.fidelity.gate.consistency import (
    FALSE_ALARM_RATE,
    SEED,
    Check,
    Residuals,
    check_residuals,
    signal_support,
    window_sizes,
)
from pipeline.inference.combine.combine import Combined
from pipeline.inference.combine.prediction import predicted
from pipeline.inference.combine.reading import NOISE
from pipeline.inference.combine.scan import MIN_SIGMA, Scan
from pipeline.physics.forward import ForwardModel
from pipeline.physics.scan_operator import Grid, ScanOperator, slices_first

WINDOW = 1.7
"""Standard deviation of the Gaussian window in which all scans are tested together, in voxels of the volume. Narrower
windows respond more to errors of the model at sharp edges than to lesions."""
TOLERANCE = 0.03
"""Allowed mean error in such a window, as a fraction of the normalised range."""
SMOOTHING = 6.0
"""Standard deviation in voxels of the Gaussian filter over which the variance of the noise is averaged."""
MIN_VARIANCE = 1e-3
"""Voxels with a variance below this fraction of the largest are hardly seen by any scan, and are not tested."""

Map = NDArray[np.float32]


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


@dataclass(frozen=True)
class CombinedGates:
    """Results of the gates for a combined volume.

    Attributes:
        scans: for each scan.
        together: for all scans together; only the gate `local`.
    """

    scans: tuple[ScanGates, ...]
    together: ScanGates

    @property
    def all(self) -> tuple[ScanGates, ...]:
        """The results for each scan, and for all scans together."""
        return (*self.scans, self.together)


def check_scans(found: Combined, volume: NDArray[np.floating] | None = None) -> CombinedGates:
    """Apply the consistency gate to a combined volume and its scans, in their registered positions.

    Args:
        found: volume and scans.
        volume: another volume to check, in units of the first scan; None for that of `found`.
    """
    checked = found.volume if volume is None else volume
    comparisons = [_compare(scan, found, checked) for scan in found.scans]
    together = ScanGates("all scans together", [_check_together(comparisons, found.grid)])
    return CombinedGates(tuple(ScanGates(one.scan.name, one.checks()) for one in comparisons), together)


@dataclass(frozen=True)
class _Comparison:
    """A scan and its prediction; `used` are the voxels that are compared, of the shape of the scan."""

    scan: Scan
    residuals: Residuals
    model: ForwardModel
    used: NDArray[np.bool_]

    def checks(self) -> list[Check]:
        """Apply the gates of a single measurement."""
        spacing, axis = self.scan.image.spacing, self.scan.image.slice_axis
        return check_residuals(self.residuals, self.model, window_sizes(spacing, axis, across_slices=True))


def _compare(scan: Scan, found: Combined, volume: NDArray[np.floating]) -> _Comparison:
    degraded, used = predicted(scan, volume, found.grid, found.thickest_mm)
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
    residuals = Residuals(
        np.where(used, measured, expected),
        degraded.astype(np.float64),
        expected,
        np.asarray(model.standard_deviation(degraded), dtype=np.float64),
        signal_support(measured, model) & used,
    )
    return _Comparison(scan, residuals, model, used)


def _check_together(comparisons: Sequence[_Comparison], grid: Grid) -> Check:
    """Compare the largest weighted sum of the residuals of all scans with the largest that noise alone has.

    The sums are normally distributed. Their number, an upper bound of the number of independent ones, gives the limit
    (Bonferroni correction).
    """
    generator = np.random.default_rng(SEED)
    above, below, tolerance, noise = (np.zeros(grid.shape, dtype=np.float32) for _ in range(4))
    for one in comparisons:
        found, gain = one.residuals, one.scan.gain
        weights = one.used * gain / found.deviation
        above += _mapped_back(one, grid, found.above * weights)
        below += _mapped_back(one, grid, found.below * weights)
        tolerance += _mapped_back(one, grid, TOLERANCE * weights**2)
        noise += _mapped_back(one, grid, generator.standard_normal(weights.shape) * weights)
    variance = ndimage.gaussian_filter(ndimage.gaussian_filter(noise, WINDOW) ** 2, SMOOTHING)
    tested = variance > MIN_VARIANCE * variance.max()
    deviation = np.sqrt(variance[tested])
    sums = (ndimage.gaussian_filter(excess - tolerance, WINDOW)[tested] / deviation for excess in (above, below))
    largest = max(float(one.max(initial=0.0)) for one in sums)
    return Check("local", largest, float(stats.norm.isf(FALSE_ALARM_RATE / (2 * above.size))))


def _mapped_back(one: _Comparison, grid: Grid, values: NDArray[np.floating]) -> Map:
    """Map values of the voxels of a scan to the volume, by the adjoint of the acquisition model."""
    scan, axis = one.scan, one.scan.image.slice_axis
    operator = ScanOperator(grid, scan.grid, axis, scan.profile, scan.motion.matrix())
    slices = np.ascontiguousarray(slices_first(values, axis), dtype=np.float32)
    return operator.adjoint(torch.from_numpy(slices)).numpy()
