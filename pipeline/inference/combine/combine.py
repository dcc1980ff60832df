"""Combine several scans of one head into one isotropic volume.

1. The motion of the head between the scans, and their intensities, are refined: each scan is compared with the
   reconstruction of the others (`motion`).
2. Slices that the other scans contradict lose their weight (`outliers`).
3. The volume is reconstructed from all scans by total variation or least squares (`pipeline.physics.reconstruction`).
4. Leaving out one scan at a time shows how far the volume depends on single scans: the uncertainty map.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.inference.combine.grid import block_of, working_block
from pipeline.inference.combine.motion import refine
from pipeline.inference.combine.outliers import slice_errors, slice_weights
from pipeline.inference.combine.scan import Scan, common_sigma, measurements
from pipeline.physics.reconstruction import Effort, Penalty, reconstruct
from pipeline.physics.scan_operator import Grid

logger = logging.getLogger(__name__)

Method = Literal["total_variation", "least_squares"]

LEAST_SQUARES_WEIGHT = 75.0
"""Weight of the quadratic penalty, times the squared noise level."""
TOTAL_VARIATION_WEIGHT = 0.25
"""Weight of the total variation, times the noise level."""
ROUNDS, GAUSS_NEWTON_STEPS = 3, 2
"""Rounds of motion refinement over all scans, and steps per scan and round."""
CONVERGED = 0.02
"""Change of a motion, in degrees and mm, below which no further round is needed."""
QUICK, FULL, VARIATION = Effort(1, 8), Effort(1, 25), Effort(6, 10)
"""Effort of a reconstruction for motion refinement, of least squares, and of total variation."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Combined:
    """Several scans combined into one volume; arrays have the shape of the grid, in units of the first scan.

    Attributes:
        grid: voxel grid of the volume.
        scans: the scans with their final motion, intensities and weights.
        volume: the reconstruction.
        mean: mean of the interpolated scans, for comparison.
        spread: root mean square difference of reconstructions that leave out one scan each; an uncalibrated
            uncertainty.
    """

    grid: Grid
    scans: tuple[Scan, ...]
    volume: Array
    mean: Array
    spread: Array


def combine(
    scans: Sequence[Scan],
    grid: Grid,
    *,
    method: Method = "total_variation",
    move: bool = True,
    device: torch.device | str = "cpu",
    resume: Callable[[str, Callable[[], object]], object] | None = None,
) -> Combined:
    """Combine scans of one head.

    Args:
        scans: two or more scans, registered approximately.
        grid: grid of the result, in the space of the first scan.
        method: penalty of the reconstruction.
        move: refine the motion of the head between the scans.
        device: device of the reconstruction.
        resume: stores the result of a stage by name, or returns the stored one.
    """
    stage = resume or (lambda _, compute: compute())
    block = working_block(grid, scans)
    work = block_of(grid, block)
    logger.info("reconstructing %s voxels of %s mm", " x ".join(map(str, work.shape)), _sizes(work))
    registered: Sequence[Scan] = stage("motion", lambda: refined(scans, work, move=move, device=device))  # pyright: ignore[reportAssignmentType]
    start = mean_of(registered, work)
    volume = stage("volume", lambda: solved(registered, work, start, method, device))
    spread = stage("spread", lambda: leave_one_out_spread(registered, work, start, device))
    mean = mean_of(registered, grid)
    whole = mean.copy()
    whole[block] = volume
    outside = np.zeros(grid.shape, dtype=np.float32)
    outside[block] = spread
    return Combined(grid, tuple(registered), whole, mean, outside)


def refined(scans: Sequence[Scan], grid: Grid, *, move: bool, device: torch.device | str) -> tuple[Scan, ...]:
    """Return the scans with refined motion, intensities and slice weights.

    Args:
        scans: the scans; the first one defines the space and the intensities.
        grid: grid of the reconstruction.
        move: refine the motion.
        device: device of the reconstruction.
    """
    current = list(scans)
    rounds = ROUNDS if move else 1
    with tqdm(total=rounds * len(current), desc="aligning scans", disable=None) as bar:
        for _ in range(rounds):
            largest = 0.0
            for index, scan in enumerate(current):
                others = [other for place, other in enumerate(current) if place != index]
                image = solved(others, grid, mean_of(others, grid), "least_squares", device, QUICK)
                tensor = torch.from_numpy(image).to(device)
                found = refine(scan, tensor, grid, GAUSS_NEWTON_STEPS, move=move and index > 0) if index else scan
                change = found.motion @ scan.motion.inverse()
                largest = max(largest, change.angle_degrees, change.shift_mm)
                whole = replace(found, slice_weights=np.ones(found.slice_weights.size))
                measured = measurements([whole], grid, device)[0]
                weights = found.slice_weights.copy()
                weights[measured.place[scan.image.slice_axis]] = slice_weights(slice_errors(measured, tensor))
                current[index] = replace(found, slice_weights=weights)
                bar.update()
            if largest < CONVERGED:
                break
    return tuple(current)


def solved(
    scans: Sequence[Scan],
    grid: Grid,
    start: Array,
    method: Method,
    device: torch.device | str = "cpu",
    effort: Effort | None = None,
) -> Array:
    """Reconstruct an image from scans.

    Args:
        scans: the scans.
        grid: grid of the image.
        start: first estimate, of the shape of the grid.
        method: penalty.
        device: device of the computation.
        effort: iterations; None for the default of the method.
    """
    sigma = common_sigma(scans)
    scales = tuple(min(grid.spacing) / length for length in grid.spacing)
    if method == "least_squares":
        penalty, effort = Penalty("quadratic", LEAST_SQUARES_WEIGHT * sigma**2, scales), effort or FULL
    else:
        penalty, effort = Penalty("total_variation", TOTAL_VARIATION_WEIGHT * sigma, scales), effort or VARIATION
    with tqdm(total=effort.rounds, desc="reconstructing", disable=None if effort.rounds > 1 else True) as bar:
        image = reconstruct(
            measurements(scans, grid, device), penalty, torch.from_numpy(start).to(device), effort, bar.update
        )
    return image.cpu().numpy()


def mean_of(scans: Sequence[Scan], grid: Grid) -> Array:
    """Return the mean of the scans, interpolated by cubic B-splines, over the scans that cover a voxel."""
    total, count = np.zeros(grid.shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.float32)
    for scan in scans:
        covered = scan.covers(grid)
        total += np.where(covered, scan.interpolated(grid), 0)
        count += covered
    return np.where(count > 0, total / np.maximum(count, 1), scans[0].interpolated(grid, 1)).astype(np.float32)


def leave_one_out_spread(scans: Sequence[Scan], grid: Grid, start: Array, device: torch.device | str) -> Array:
    """Return the root mean square difference between least squares from all scans and from all but one.

    Args:
        scans: the scans, with final motion.
        grid: grid of the reconstruction.
        start: first estimate.
        device: device of the computation.
    """
    everything = solved(scans, grid, start, "least_squares", device, QUICK)
    squares = np.zeros(grid.shape, dtype=np.float32)
    for index in tqdm(range(len(scans)), "uncertainty", disable=None):
        others = [scan for place, scan in enumerate(scans) if place != index]
        squares += np.square(solved(others, grid, everything, "least_squares", device, QUICK) - everything)
    return np.sqrt(squares / len(scans))


def _sizes(grid: Grid) -> str:
    return " x ".join(f"{length:.3g}" for length in grid.spacing)
