"""What the acquisition model predicts for a scan, given the combined volume."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.inference.combine.scan import Scan
from pipeline.physics.scan_operator import Grid, ScanOperator, slices_back


def predicted(
    scan: Scan, volume: NDArray[np.floating], grid: Grid, margin_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the scan that the acquisition model predicts, in the scan's own normalised intensities.

    Args:
        scan: motion, intensities and slices of the scan.
        volume: the combined volume, in units of the first scan.
        grid: its grid.
        margin_mm: distance from the faces of the volume within which nothing is compared, since thick slices extend
            beyond the volume there.

    Returns:
        The predicted scan, and the voxels that can be compared with it: those of slices with a weight, inside the
        volume without its margin. Both have the shape of the scan.
    """
    axis = scan.image.slice_axis
    operator = ScanOperator(grid, scan.grid, axis, scan.profile, scan.motion.matrix())
    again = operator.forward(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))).numpy()
    used = operator.inside(margin_mm) & (scan.slice_weights > 0)[:, None, None]
    return slices_back(scan.gain * again + scan.offset, axis), slices_back(used, axis)
