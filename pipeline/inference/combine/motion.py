"""Position of the head in each scan, refined by the acquisition model.

A scan is compared with what the acquisition model predicts from the reconstruction of the other scans, so that thick
slices are compared with thick slices. The six parameters of the motion, gain and offset are found by Gauss-Newton
steps on the squared error.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipeline.image.rigid import Rigid
from pipeline.inference.combine.scan import Scan, ScanMeasurement
from pipeline.physics.scan_operator import Grid

STEP = 0.1
"""Step of the finite differences, in degrees and mm."""
MAX_UPDATE = 2.0
"""Maximum change of a parameter in one step, in degrees and mm."""
RIDGE = 1e-6
"""Relative ridge of the normal equations, for directions that a scan does not show."""


def refine(scan: Scan, others: Tensor, grid: Grid, steps: int, *, move: bool = True) -> Scan:
    """Return a scan with refined motion, gain and offset.

    Args:
        scan: the scan.
        others: image reconstructed from the other scans, on `grid`.
        grid: grid of the image.
        steps: number of Gauss-Newton steps.
        move: refine the motion, not only gain and offset.
    """
    centre = np.array(grid.affine[:3] @ [*((np.array(grid.shape) - 1) / 2), 1.0])
    for _ in range(steps):
        scan = _step(scan, others, grid, centre, move=move)
    return scan


def _step(scan: Scan, others: Tensor, grid: Grid, centre: np.ndarray, *, move: bool) -> Scan:
    start = ScanMeasurement(scan, grid)
    motion = scan.motion.about(centre)
    vector = motion.vector()

    def predicted(parameters: np.ndarray) -> Tensor:
        moved = Rigid.from_vector(parameters, centre)
        return start.operator.with_motion(moved.matrix()).forward(others)

    expected = predicted(vector)
    columns: list[Tensor] = []
    if move:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            shifted = pool.map(lambda index: predicted(vector + STEP * np.eye(6)[index]), range(6))
            columns = [(one - expected) / STEP for one in shifted]
    weights = start.weights.sqrt()
    design = torch.stack([(weights * one).flatten() for one in (*columns, expected, torch.ones_like(expected))])
    normal = (design @ design.T).double()
    residual = (weights * (start.measured - expected)).flatten()
    normal += RIDGE * torch.diag(torch.diag(normal))
    update = torch.linalg.solve(normal, (design @ residual).double()).cpu().numpy()
    if move:
        change = np.clip(update[:6], -MAX_UPDATE, MAX_UPDATE)
        scan = scan.moved(Rigid.from_vector(vector + change, centre))
    gain, offset = update[-2:]
    return replace(scan, gain=scan.gain * (1 + float(gain)), offset=scan.offset + scan.gain * float(offset))
