"""What the acquisition model predicts for a scan, given the combined volume."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.inference.combine.scan import Scan
from pipeline.physics.scan_operator import Grid, ScanOperator, slices_back

PROFILE_REACH = 1.0
"""Distance on either side of a slice, in slice thicknesses, that a scan and its prediction are compared by: nothing is
known of the head beyond the volume."""


def predicted(scan: Scan, volume: NDArray[np.floating], grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the scan that the acquisition model predicts, in the scan's own normalised intensities.

    Args:
        scan: motion, intensities and slices of the scan.
        volume: the combined volume, in units of the first scan.
        grid: its grid.

    Returns:
        The predicted scan, and the voxels of slices with a weight that lie well inside the volume; both of the shape
        of the scan.
    """
    axis = scan.image.slice_axis
    operator = ScanOperator(grid, scan.grid, axis, scan.profile, scan.motion.matrix())
    again = operator.forward(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))).numpy()
    used = operator.inside(PROFILE_REACH) & (scan.slice_weights > 0)[:, None, None]
    return slices_back(scan.gain * again + scan.offset, axis), slices_back(used, axis)
