"""A scan that is combined with others: image, slices, noise, position of the head, intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from pipeline.image.image import Image
from pipeline.image.rigid import IDENTITY, Rigid
from pipeline.image.slice_profile import SliceProfile
from pipeline.physics.scan_operator import Grid, ScanOperator, slices_back, slices_first, voxels_inside

MIN_SIGMA = 0.01
"""Lower bound of the noise level, as a fraction of the intensity range: errors of the model are of this size."""


@dataclass(frozen=True)
class Scan:
    """One of several scans of a head.

    Attributes:
        name: name of the scan, such as that of its file, for messages and reports.
        image: normalised intensities in canonical orientation, with the mask "foreground" and its slicing.
        profile: thickness and shape of the slices.
        sigma: noise level as a fraction of the normalised range of this scan.
        motion: maps positions in the first scan to positions in this scan.
        gain: intensity in this scan of what is 1 in the first scan.
        offset: intensity in this scan of what is 0 in the first scan.
        slice_weights: weight of each slice, shape (slices,), from 0 (not used) to 1.
    """

    name: str
    image: Image
    profile: SliceProfile
    sigma: float
    motion: Rigid = IDENTITY
    gain: float = 1.0
    offset: float = 0.0
    slice_weights: NDArray[np.float64] = field(default_factory=lambda: np.ones(0))

    def __post_init__(self) -> None:
        """Give every slice the weight 1 if no weights are given."""
        if self.slice_weights.size == 0:
            object.__setattr__(self, "slice_weights", np.ones(self.image.data.shape[self.image.slice_axis]))

    @property
    def grid(self) -> Grid:
        """Voxel grid of the scan."""
        return Grid(self.image.data.shape, self.image.affine)

    @property
    def relative_sigma(self) -> float:
        """Noise level in units of the first scan, with a lower bound."""
        return max(self.sigma / self.gain, MIN_SIGMA)

    def matched(self) -> NDArray[np.float32]:
        """Return the intensities in units of the first scan."""
        return ((self.image.data - self.offset) / self.gain).astype(np.float32)

    def interpolated(self, grid: Grid, order: int = 3) -> NDArray[np.float32]:
        """Interpolate the scan on another grid by B-splines, with matched intensities; edges are repeated.

        Args:
            grid: the other grid, in the space of the first scan.
            order: order of the splines.
        """
        matrix = np.linalg.inv(self.image.affine) @ self.motion.matrix() @ grid.affine
        result = np.zeros(grid.shape, dtype=np.float32)
        ndimage.affine_transform(self.matched(), matrix, output=result, order=order, mode="nearest")
        return result

    def covers(self, grid: Grid) -> NDArray[np.bool_]:
        """Return the voxels of another grid that lie inside this scan."""
        matrix = np.linalg.inv(self.image.affine) @ self.motion.matrix() @ grid.affine
        return voxels_inside(matrix, grid.shape, self.image.data.shape)

    def moved(self, motion: Rigid) -> Self:
        """Return the scan with another position of the head."""
        return replace(self, motion=motion)


def thinned(scan: Scan, factor: int) -> Scan:
    """Return a scan whose slices have voxels of `factor` times the size, means of the original ones.

    Args:
        scan: the scan.
        factor: number of voxels along both axes of a slice; 1 returns the scan itself.
    """
    if factor == 1:
        return scan
    image, axis = scan.image, scan.image.slice_axis
    factors = np.array([1 if other == axis else factor for other in range(3)])
    sizes = np.array(image.data.shape) // factors
    kept = tuple(slice(size * step) for size, step in zip(sizes, factors, strict=True))
    blocks = [part for size, step in zip(sizes, factors, strict=True) for part in (size, step)]

    def means(array: NDArray) -> NDArray[np.float32]:
        return array[kept].reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32)

    affine = image.affine @ np.diag([*factors, 1.0])
    affine[:3, 3] = image.affine[:3] @ [*((factors - 1) / 2), 1.0]
    masks = {"foreground": means(image.masks["foreground"]) >= 0.5}  # noqa: PLR2004
    coarse = image.with_data(means(image.data), affine=affine, masks=masks)
    return replace(scan, image=coarse, sigma=scan.sigma / factor)


class ScanMeasurement:
    """A scan as a measurement of the image, see `pipeline.physics.reconstruction`.

    Only voxels whose centres lie in the grid of the image are used. Arrays have the slice axis first.

    Args:
        scan: the scan.
        grid: grid of the image, in the space of the first scan.
        weight: weight of the squared errors of this scan.
        device: device of the arrays.
    """

    def __init__(self, scan: Scan, grid: Grid, weight: float = 1.0, device: torch.device | str = "cpu") -> None:
        axis = scan.image.slice_axis
        whole = ScanOperator(grid, scan.grid, axis, scan.profile, scan.motion.matrix(), device)
        used = slices_back(whole.inside(), axis)
        self.place = _bounding_box(used)
        affine = scan.image.affine.copy()
        affine[:3, 3] = affine[:3] @ [*(one.start for one in self.place), 1.0]
        part = Grid(used[self.place].shape, affine)
        self.operator = ScanOperator(grid, part, axis, scan.profile, scan.motion.matrix(), device)
        slices = scan.slice_weights[self.place[axis]]
        weights = weight * slices_first(used[self.place], axis) * slices[:, None, None]
        self.weights = torch.from_numpy(weights.astype(np.float32)).to(device)
        measured = slices_first(scan.matched()[self.place], axis)
        self.measured = torch.from_numpy(np.ascontiguousarray(measured)).to(device)
        foreground = slices_first(scan.image.masks["foreground"][self.place], axis)
        self.foreground = torch.from_numpy(np.ascontiguousarray(foreground)).to(device)

    def forward(self, image: Tensor) -> Tensor:
        """Return the scan of an image."""
        return self.operator.forward(image)

    def adjoint(self, values: Tensor) -> Tensor:
        """Return the adjoint of `forward`, weighted."""
        return self.operator.adjoint(self.weights * values)

    def diagonal(self) -> Tensor:
        """Return the sums of the rows, an upper bound of the diagonal if no weight is negative."""
        return self.operator.adjoint(self.weights)

    def values(self, image: Tensor) -> Tensor:
        """Return the matched intensities."""
        del image
        return self.measured


def measurements(scans: Sequence[Scan], grid: Grid, device: torch.device | str = "cpu") -> list[ScanMeasurement]:
    """Return the scans as measurements, weighted by the inverse of their noise; the mean weight is 1."""
    precisions = np.array([1 / scan.relative_sigma**2 for scan in scans])
    weights = precisions / precisions.mean()
    return [ScanMeasurement(scan, grid, float(weight), device) for scan, weight in zip(scans, weights, strict=True)]


def common_sigma(scans: Sequence[Scan]) -> float:
    """Return the noise level that belongs to a weight of 1."""
    return float(np.mean([1 / scan.relative_sigma**2 for scan in scans]) ** -0.5)


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the smallest block with all voxels of a mask; the whole array if there are none."""
    if not mask.any():
        return tuple(slice(size) for size in mask.shape)
    filled = [np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    return tuple(slice(int(one[0]), int(one[-1]) + 1) for one in filled)
