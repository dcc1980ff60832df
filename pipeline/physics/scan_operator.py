"""Acquisition of a scan from an image on another grid: position of the head, slice profile, sampling.

The image lies on an output grid, the scan on its own: with other axes, voxels and slices, and with the head in another
position. The operator interpolates the image linearly on a fine grid along the axes of the scan, and integrates it
across the slices by the slice profile and within the slices over the voxels. This is the slice acquisition model of
motion-corrected super-resolution (Gholipour, Estroff and Warfield, IEEE Transactions on Medical Imaging 29:1739-1758,
2010; Brudfors et al., UniRes, MICCAI 2018).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.image.slice_profile import SliceProfile
from pipeline.physics.operators.slice_profile import REACH, Parameters, cumulative

CHUNK_VOXELS = 2_000_000
"""Maximum number of fine voxels that are interpolated at once."""
MIN_WEIGHT = 1e-4
"""Weights of a slice profile below this fraction of the largest are left out."""


@dataclass(frozen=True)
class Grid:
    """A voxel grid in millimetres.

    Attributes:
        shape: number of voxels along each axis.
        affine: shape (4, 4), from voxel indices to millimetres.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size along each axis, in mm."""
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))

    def corners(self) -> NDArray[np.float64]:
        """Return the outer corners of the grid in mm, shape (8, 3)."""
        ends = np.array(np.meshgrid(*([-0.5, size - 0.5] for size in self.shape), indexing="ij")).reshape(3, -1)
        return (self.affine[:3, :3] @ ends + self.affine[:3, 3:]).T


class ScanOperator:
    """Linear map from an image on an output grid to a scan.

    Scans are arrays with the slice axis first, see `slices_first`.

    Args:
        output: grid of the image.
        scan: grid of the scan.
        slice_axis: axis of the scan along which its slices follow each other.
        profile: thickness and shape of the slices.
        motion: shape (4, 4), maps positions in the image to positions in the scan, in mm.
        device: device of images and scans.
    """

    def __init__(
        self,
        output: Grid,
        scan: Grid,
        slice_axis: int,
        profile: SliceProfile,
        motion: NDArray[np.float64],
        device: torch.device | str = "cpu",
    ) -> None:
        self.output, self.scan, self.slice_axis, self.profile = output, scan, slice_axis, profile
        self.motion, self.device = motion, torch.device(device)
        self._order = (slice_axis, *(axis for axis in range(3) if axis != slice_axis))
        spacing = [scan.spacing[axis] for axis in self._order]
        finest = min(output.spacing)
        # Slices are divided into at least two parts per profile, voxels within the slices to the size of the output.
        self._parts = [max(1, math.ceil(spacing[0] / finest - 0.01)), *(max(1, round(s / finest)) for s in spacing[1:])]
        step = spacing[0] / self._parts[0]
        weights, self._margin = _profile_weights(profile, scan.shape[slice_axis], self._parts[0], step)
        self._weights = torch.from_numpy(weights).to(self.device, torch.float32)
        self._sizes = [
            weights.shape[1],
            *(scan.shape[axis] * parts for axis, parts in zip(self._order[1:], self._parts[1:], strict=True)),
        ]

    def with_motion(self, motion: NDArray[np.float64]) -> ScanOperator:
        """Return the operator for another position of the head."""
        return ScanOperator(self.output, self.scan, self.slice_axis, self.profile, motion, self.device)

    @cached_property
    def _to_output(self) -> NDArray[np.float64]:
        """Map from fine indices, slice axis first, to normalised coordinates of `grid_sample` (last axis first)."""
        fine = np.zeros((4, 4))
        for place, (axis, parts) in enumerate(zip(self._order, self._parts, strict=True)):
            margin = self._margin if place == 0 else 0
            fine[axis, place] = 1 / parts
            fine[axis, 3] = (0.5 - margin) / parts - 0.5
        fine[3, 3] = 1
        voxels = np.linalg.inv(self.output.affine) @ np.linalg.inv(self.motion) @ self.scan.affine @ fine
        scale = np.array([2 / max(size - 1, 1) for size in self.output.shape])
        normalised = voxels[:3] * scale[:, None]
        normalised[:, 3] -= 1
        return normalised[::-1]

    def _chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield ranges of fine planes with their sampling positions, shape (1, planes, rows, columns, 3)."""
        planes = max(1, CHUNK_VOXELS // (self._sizes[1] * self._sizes[2]))
        matrix = torch.from_numpy(np.ascontiguousarray(self._to_output)).to(self.device)
        indices = [torch.arange(size, dtype=torch.float64, device=self.device) for size in self._sizes]
        rows, columns = (indices[axis][:, None] * matrix[:, axis] for axis in (1, 2))
        within = rows[:, None] + columns[None] + matrix[:, 3]
        for start in range(0, self._sizes[0], planes):
            chosen = slice(start, min(start + planes, self._sizes[0]))
            along = indices[0][chosen, None] * matrix[:, 0]
            yield chosen, (within[None] + along[:, None, None]).to(torch.float32)[None]

    def forward(self, image: Tensor) -> Tensor:
        """Return the scan of an image, float32, slice axis first."""
        result = torch.zeros(
            [len(self._weights), self._sizes[1] // self._parts[1], self._sizes[2] // self._parts[2]], device=self.device
        )
        for chosen, places in self._chunks():
            fine = functional.grid_sample(image[None, None], places, padding_mode="border", align_corners=True)[0, 0]
            fine = self._means(fine)
            result += torch.tensordot(self._weights[:, chosen], fine, dims=1)
        return result

    def adjoint(self, scan: Tensor) -> Tensor:
        """Return the adjoint of `forward` for a scan with the slice axis first."""
        result = torch.zeros(self.output.shape, device=self.device)
        like = result[None, None]
        for chosen, places in self._chunks():
            fine = self._spread(torch.tensordot(self._weights[:, chosen].T, scan, dims=1))
            part, _ = torch.ops.aten.grid_sampler_3d_backward(fine[None, None], like, places, 0, 1, True, [True, False])
            result += part[0, 0]
        return result

    def inside(self, margin_mm: float = 0.0) -> NDArray[np.bool_]:
        """Return the voxels of the scan whose centres lie in the output grid, slice axis first.

        Args:
            margin_mm: minimum distance from the faces of the grid.
        """
        matrix = np.linalg.inv(self.output.affine) @ np.linalg.inv(self.motion) @ self.scan.affine
        margins = margin_mm / np.array(self.output.spacing)
        return slices_first(voxels_inside(matrix, self.scan.shape, self.output.shape, margins), self.slice_axis)

    def _means(self, fine: Tensor) -> Tensor:
        first, second = self._parts[1:]
        if first == second == 1:
            return fine
        planes, rows, columns = fine.shape
        return fine.reshape(planes, rows // first, first, columns // second, second).mean(dim=(2, 4))

    def _spread(self, scan: Tensor) -> Tensor:
        first, second = self._parts[1:]
        if first == second == 1:
            return scan
        return scan.repeat_interleave(first, 1).repeat_interleave(second, 2) / (first * second)


def voxels_inside(
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    other: Sequence[int],
    margins: Sequence[float] | NDArray[np.float64] = (0.0, 0.0, 0.0),
) -> NDArray[np.bool_]:
    """Return the voxels of a grid that lie inside another grid.

    Args:
        matrix: shape (4, 4), from voxel indices of the grid to those of the other.
        shape: number of voxels of the grid.
        other: number of voxels of the other grid.
        margins: distance from the outer faces of the other grid along each of its axes, in voxels.
    """
    result = np.ones(tuple(shape), dtype=bool)
    indices = np.ogrid[tuple(slice(size) for size in shape)]
    for row, size, margin in zip(matrix[:3], other, margins, strict=True):
        position = sum(weight * index for weight, index in zip(row[:3], indices, strict=True)) + row[3]
        result &= (position > margin - 0.5) & (position < size - 0.5 - margin)
    return result


def slices_first(data: NDArray, slice_axis: int) -> NDArray:
    """Return a scan (x, y, z) with the slice axis first and the other axes in order."""
    return np.moveaxis(data, slice_axis, 0)


def slices_back(data: NDArray, slice_axis: int) -> NDArray:
    """Return a scan with axes x, y, z; the inverse of `slices_first`."""
    return np.moveaxis(data, 0, slice_axis)


def _profile_weights(profile: SliceProfile, count: int, parts: int, step: float) -> tuple[NDArray[np.float64], int]:
    """Return the weights of fine planes in slices, and the number of fine planes before the first slice.

    Args:
        profile: thickness and shape of the slices.
        count: number of slices.
        parts: fine planes per slice.
        step: distance of fine planes, in mm.

    Returns:
        Weights of shape (slices, fine planes), rows of sum 1.
    """
    reach = math.ceil(REACH * profile.thickness_mm / step) + parts
    edges = (np.arange(-reach, reach + parts + 1, dtype=np.float64) - parts / 2) * (step / profile.thickness_mm)
    weights = np.diff(cumulative(edges, Parameters(profile=profile.shape)))
    kept = np.flatnonzero(np.abs(weights) > MIN_WEIGHT * np.abs(weights).max())
    margin = max(0, reach - int(kept[0]), int(kept[-1]) - reach - parts + 1)
    row = weights[reach - margin : reach + parts + margin]
    matrix = np.zeros((count, count * parts + 2 * margin))
    for index in range(count):
        matrix[index, index * parts : index * parts + row.size] = row / row.sum()
    return matrix, margin
