"""Combine several scans of one head into one isotropic volume.

1. The motion of the head between the scans, and their intensities, are refined: each scan is compared with the
   reconstruction of the others (`motion`).
2. Slices that the other scans contradict lose their weight (`outliers`).
3. The volume is reconstructed from all scans by total variation or least squares (`pipeline.physics.reconstruction`),
   if desired with a network as prior (`prior`).
4. Leaving out one scan at a time shows how far the volume depends on single scans: the uncertainty map.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from pipeline.config.combine import Method
from pipeline.inference.combine.grid import block_of, coarser_grid, working_block
from pipeline.inference.combine.motion import refine
from pipeline.inference.combine.outliers import slice_errors, slice_weights
from pipeline.inference.combine.prior import NO_MODEL, Prior, restored_scan
from pipeline.inference.combine.scan import Scan, common_sigma, measurements, thinned
from pipeline.inference.combine.stages import Stages
from pipeline.physics.reconstruction import Effort, Penalty, reconstruct
from pipeline.physics.scan_operator import Grid

logger = logging.getLogger(__name__)

LEAST_SQUARES_WEIGHT, TOTAL_VARIATION_WEIGHT = 7.0, 1.1
"""Weights of the penalties, times the number of voxels per slice, divided by the noise level."""
ROUNDS, GAUSS_NEWTON_STEPS = 3, 2
"""Maximum number of rounds of motion refinement over all scans, and steps per scan and round."""
MIN_CHANGE = 0.1
"""Minimum correction of a motion, in degrees and mm; smaller ones are within the errors of the refinement itself."""
COARSE, MAX_COARSE_MM = 2, 2.2
"""Motion and uncertainty are computed on voxels of twice the size, unless they are larger than this: on thick slices,
smaller voxels change motions by less than 0.05 degrees and 0.05 mm."""
ERROR_OF_NOISE, ERROR_OF_SPREAD = 0.37, 2.33
"""Factors of noise level and spread in the expected absolute error, fitted on simulated scans of three heads other than
those of the documentation (benchmarks/several_scans.py --calibrate-on)."""
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
        spread: root mean square difference between the reconstruction from all scans and those that leave out one scan
            each, by least squares without a prior.
        model: name of the network used as prior; "none" without one.
    """

    grid: Grid
    scans: tuple[Scan, ...]
    volume: Array
    mean: Array
    spread: Array
    model: str = NO_MODEL

    @property
    def thickest_mm(self) -> float:
        """Thickness of the thickest slices of all scans, in mm."""
        return max(scan.profile.thickness_mm for scan in self.scans)

    @property
    def expected_error(self) -> Array:
        """Expected absolute error of the volume, from the noise level and the spread."""
        noise = ERROR_OF_NOISE * common_sigma(self.scans)
        return np.hypot(noise, ERROR_OF_SPREAD * self.spread).astype(np.float32)


def combine(
    scans: Sequence[Scan],
    grid: Grid,
    *,
    method: Method = "total_variation",
    move: bool = True,
    device: torch.device | str = "cpu",
    stages: Stages | None = None,
    prior: Prior | None = None,
) -> Combined:
    """Combine scans of one head.

    Args:
        scans: two or more scans, registered approximately.
        grid: grid of the result, in the space of the first scan.
        method: penalty of the reconstruction.
        move: refine the motion of the head between the scans.
        device: device of the reconstruction.
        stages: stores the results of stages, from which an interrupted combination continues.
        prior: network that restores each scan; None for none.
    """
    stages = stages or Stages(None)
    block = working_block(grid, scans)
    work = block_of(grid, block)
    logger.info("reconstructing %s voxels of %s mm", " x ".join(map(str, work.shape)), _sizes(work))
    registered = stages.scans(scans, lambda: refined(scans, work, move=move, device=device))
    if prior is None:
        toward, start = None, mean_of(registered, work)
    else:
        toward = start = stages.array("prior", lambda: mean_of([restored_scan(one, prior) for one in registered], work))
    volume = stages.array("volume", lambda: solved(registered, work, start, method, device, toward=toward))
    spread = stages.array("spread", lambda: leave_one_out_spread(registered, work, device))
    mean = mean_of(registered, grid)
    whole = mean.copy()
    # Ringing around a dark background would be clipped by files of unsigned integers, which would seem a loss.
    whole[block] = np.maximum(volume, min(float(scan.matched().min()) for scan in registered))
    outside = np.zeros(grid.shape, dtype=np.float32)
    outside[block] = spread
    return Combined(grid, registered, whole, mean, outside, NO_MODEL if prior is None else prior.name)


def refined(scans: Sequence[Scan], grid: Grid, *, move: bool, device: torch.device | str = "cpu") -> tuple[Scan, ...]:
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
            before = list(current)
            for index in range(len(current)):
                current[index] = _refined_against_others(current, index, grid, move=move, device=device)
                bar.update()
            current = _in_units_of_the_first(current)
            if all(old.motion == new.motion for old, new in zip(before, current, strict=True)):
                break
    return tuple(current)


def _in_units_of_the_first(scans: Sequence[Scan]) -> list[Scan]:
    """Return the scans with intensities relative to the first one.

    The reconstruction from the other scans is smoother than a scan, so all gains are a little too high, also the first.
    """
    gain, offset = scans[0].gain, scans[0].offset
    return [replace(scan, gain=scan.gain / gain, offset=scan.offset - scan.gain * offset / gain) for scan in scans]


def _refined_against_others(
    scans: Sequence[Scan], index: int, grid: Grid, *, move: bool, device: torch.device | str
) -> Scan:
    """Refine one scan against the reconstruction of the others.

    Args:
        scans: all scans.
        index: the scan.
        grid: grid of the final reconstruction.
        move: refine the motion of scans other than the first.
        device: device of the reconstruction.
    """
    level = _level(grid)
    coarse = coarser_grid(grid, level)
    seen = [thinned(scan, level) for scan in scans]
    others = seen[:index] + seen[index + 1 :]
    image = solved(others, coarse, mean_of(others, coarse), "least_squares", device, QUICK)
    tensor = torch.from_numpy(image).to(device)
    found = refine(seen[index], tensor, coarse, GAUSS_NEWTON_STEPS, move=move and index > 0)
    everything = replace(found, slice_weights=np.ones(found.slice_weights.size))
    measured = measurements([everything], coarse, device)[0]
    weights = np.ones(found.slice_weights.size)
    weights[measured.place[found.image.slice_axis]] = slice_weights(slice_errors(measured, tensor))
    change = found.motion @ scans[index].motion.about(found.motion.centre_mm).inverse()
    moved = max(change.angle_degrees, change.shift_mm) > MIN_CHANGE
    if moved:
        logger.info("%s: corrected by %.2f degrees, %.2f mm", found.name, change.angle_degrees, change.shift_mm)
    motion = found.motion if moved else scans[index].motion
    return replace(scans[index], motion=motion, gain=found.gain, offset=found.offset, slice_weights=weights)


def solved(
    scans: Sequence[Scan],
    grid: Grid,
    start: Array,
    method: Method,
    device: torch.device | str = "cpu",
    effort: Effort | None = None,
    toward: Array | None = None,
) -> Array:
    """Reconstruct an image from scans.

    Args:
        scans: the scans.
        grid: grid of the image.
        start: first estimate, of the shape of the grid.
        method: penalty.
        device: device of the computation.
        effort: iterations; None for the default of the method.
        toward: image whose difference from the solution is penalised; None penalises the solution itself.
    """
    voxels_per_slice = np.mean([max(scan.image.spacing) for scan in scans]) / min(grid.spacing)
    strength = common_sigma(scans) / float(voxels_per_slice)
    scales = tuple(min(grid.spacing) / length for length in grid.spacing)
    prior = None if toward is None else torch.from_numpy(toward).to(device)
    if method == "least_squares":
        penalty, effort = Penalty("quadratic", LEAST_SQUARES_WEIGHT * strength, scales, prior=prior), effort or FULL
    else:
        weight, effort = TOTAL_VARIATION_WEIGHT * strength, effort or VARIATION
        penalty = Penalty("total_variation", weight, scales, prior=prior)
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


def leave_one_out_spread(scans: Sequence[Scan], grid: Grid, device: torch.device | str) -> Array:
    """Return the root mean square difference between least squares from all scans and from all but one.

    Args:
        scans: the scans, with final motion.
        grid: grid of the result.
        device: device of the computation.
    """
    level = _level(grid)
    coarse = coarser_grid(grid, level)
    seen = [thinned(scan, level) for scan in scans]
    everything = solved(seen, coarse, mean_of(seen, coarse), "least_squares", device, QUICK)
    squares = np.zeros(coarse.shape, dtype=np.float32)
    for index in tqdm(range(len(scans)), "uncertainty", disable=None):
        others = seen[:index] + seen[index + 1 :]
        squares += np.square(solved(others, coarse, everything, "least_squares", device, QUICK) - everything)
    matrix = np.linalg.inv(coarse.affine) @ grid.affine
    spread = np.zeros(grid.shape, dtype=np.float32)
    ndimage.affine_transform(np.sqrt(squares / len(scans)), matrix, output=spread, order=1, mode="nearest")
    return spread


def _level(grid: Grid) -> int:
    """Return the size of the voxels on which motion and uncertainty are computed, in voxels of the grid."""
    return COARSE if COARSE * max(grid.spacing) <= MAX_COARSE_MM else 1


def _sizes(grid: Grid) -> str:
    return " x ".join(f"{length:.3g}" for length in grid.spacing)
