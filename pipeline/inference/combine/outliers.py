"""Slices that disagree with the other scans: motion between slices, artefacts, spin history, or another head."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.inference.combine.scan import ScanMeasurement

SUSPECT, REJECTED = 2.0, 3.0
"""Error of a slice, relative to the median of its neighbourhood, above which its weight falls, and is zero."""
NEIGHBOURHOOD = 7
"""Slices on either side whose median error is the expected one."""
MIN_VOXELS = 50
"""Minimum number of voxels of the head in a slice."""
MIN_ERROR = 0.01
"""Lower bound of the expected error, as a fraction of the intensity range."""


def slice_errors(measured: ScanMeasurement, others: torch.Tensor) -> NDArray[np.float64]:
    """Return the root mean square error with which other scans predict each slice, NaN for slices without head.

    Args:
        measured: the scan.
        others: image reconstructed from the other scans.
    """
    used = (measured.foreground & (measured.weights > 0)).to(torch.float32)
    squares = (measured.measured - measured.forward(others)).square_().mul_(used)
    counts = used.sum(dim=(1, 2)).double().cpu().numpy()
    sums = squares.sum(dim=(1, 2)).double().cpu().numpy()
    return np.where(counts >= MIN_VOXELS, np.sqrt(sums / np.maximum(counts, 1)), np.nan)


def slice_weights(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of each slice, from 1 to 0, by its error relative to that of neighbouring slices.

    Args:
        errors: see `slice_errors`.
    """
    weights = np.ones(errors.size)
    for index in np.flatnonzero(np.isfinite(errors)):
        around = errors[max(0, index - NEIGHBOURHOOD) : index + NEIGHBOURHOOD + 1]
        expected = max(float(np.nanmedian(around)), MIN_ERROR)
        weights[index] = np.clip((REJECTED - errors[index] / expected) / (REJECTED - SUSPECT), 0, 1)
    return weights
