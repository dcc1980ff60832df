"""The grid of cell centres: with factor s, low-resolution voxel j covers s*j - 1/2 to s*j + s - 1/2 on the fine grid.

Positions are in high-resolution voxels, whose centres are whole numbers. The centre of LR voxel j is at
s*j + (s - 1) / 2. The factor may be any real number of at least 1; if it is a whole number, LR voxel j covers the
voxels s*j ... s*j + s - 1. All forward models, baselines and networks share this grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.blocks import memory_order, planes, undo_order

Matrices = tuple[NDArray[np.float64] | None, ...]
"""One matrix per axis, of shape (size out, size in); None leaves its axis as it is."""

ROUNDING = 1e-6
"""Fraction of a voxel that is ignored when voxels are counted, since factors such as 5 / 0.9 are rounded."""

Terms = tuple[Matrices, ...]
"""A linear operator, the sum of its terms. A separable operator has one term."""


class Cut(NamedTuple):
    """Orientation of the slices that a network restores.

    Attributes:
        normal: axis perpendicular to the slices. If it is low-resolution too, slices are first interpolated along it,
            see `pipeline.physics.interpolation`.
        rows: axis of the row index of a slice.
        columns: axis of the column index of a slice.
    """

    normal: int
    rows: int
    columns: int


def cuts(factors: Sequence[float], slice_axis: int) -> tuple[Cut, ...]:
    """Return the slice orientations in which the loss of resolution is visible.

    If the in-plane resolution was reduced, this is the orientation of the acquired slices. If the slices were made
    thicker, these are the two orthogonal orientations, whose columns run across the thick slices. If all axes were
    coarsened, all three orientations are returned.

    Args:
        factors: high-resolution voxels per low-resolution voxel, one per axis.
        slice_axis: axis perpendicular to the acquired slices.

    Raises:
        UserError: the axes were coarsened by different factors, but a network has a single factor.
    """
    first, second = (axis for axis in range(3) if axis != slice_axis)
    own, across = Cut(slice_axis, first, second), (Cut(first, second, slice_axis), Cut(second, first, slice_axis))
    if factors[slice_axis] == 1:
        return (own,)
    if factors[first] == factors[second] == 1:
        return across
    if len(set(factors)) > 1:
        raise UserError(
            f"the volume was degraded by the factors {tuple(factors)} along its axes, but a network has a single "
            "factor; degrade all three axes by the same factor, the two in-plane axes, or the through-plane axis."
        )
    return own, *across


def is_isotropic(factors: Sequence[float]) -> bool:
    """Return whether all axes of a volume were coarsened, so that no slice lies on the high-resolution grid."""
    return min(factors) > 1


def coarse_shape(shape: Sequence[int], factors: Sequence[float]) -> tuple[int, ...]:
    """Return the low-resolution shape; sizes that a factor does not divide are rounded up."""
    return tuple(math.ceil(size / factor - ROUNDING) for size, factor in zip(shape, factors, strict=True))


def covered_shape(shape: Sequence[int], factors: Sequence[float]) -> tuple[int, ...]:
    """Return the largest high-resolution shape that low-resolution voxels cover; other sizes are rounded down."""
    return tuple(math.floor(size * factor + ROUNDING) for size, factor in zip(shape, factors, strict=True))


def padded_shape(shape: Sequence[int], factors: Sequence[float]) -> tuple[int, ...]:
    """Return the smallest high-resolution shape that covers all low-resolution voxels; other sizes are rounded up."""
    return tuple(padded_size(size, factor) for size, factor in zip(shape, factors, strict=True))


def padded_size(size: int, factor: float) -> int:
    """Return the number of high-resolution voxels along an axis that cover `size` low-resolution voxels."""
    return math.ceil(size * factor - ROUNDING)


def whole_cells(size: int, factor: float) -> int:
    """Return the number of low-resolution voxels that `size` high-resolution voxels cover, see `padded_size`."""
    return math.floor(size / factor + ROUNDING)


def cell_centres(count: int, factor: float) -> NDArray[np.float64]:
    """Return the positions of the centres of low-resolution voxels, in high-resolution voxels."""
    return np.arange(count, dtype=np.float64) * factor + (factor - 1) / 2


def overlaps(count: int, factor: float, size: int) -> NDArray[np.float64]:
    """Return the lengths that low-resolution and high-resolution voxels share, shape (count, size), from 0 to 1."""
    starts, voxels = np.arange(count)[:, None] * factor, np.arange(size)
    return np.clip(np.minimum(starts + factor, voxels + 1) - np.maximum(starts, voxels), 0, None)


def pad_to_multiple(data: NDArray, factors: Sequence[float]) -> NDArray:
    """Repeat the last samples at the high end of each axis until they cover whole low-resolution voxels."""
    padded = padded_shape(coarse_shape(data.shape, factors), factors)
    widths = [(0, high - size) for size, high in zip(data.shape, padded, strict=True)]
    if not any(high for _, high in widths):
        return data
    order = memory_order(data)
    return undo_order(np.pad(data.transpose(order), [widths[axis] for axis in order], mode="edge"), order)


def crop_to(data: NDArray, shape: Sequence[int]) -> NDArray:
    """Crop the high end of each axis to `shape`, the inverse of `pad_to_multiple`."""
    return data[tuple(slice(size) for size in shape)]


def coarse_affine(affine: NDArray[np.float64], factors: Sequence[float]) -> NDArray[np.float64]:
    """Return the affine of the low-resolution grid: affine . [scale s, translate (s - 1) / 2]."""
    return affine @ _scaling([float(factor) for factor in factors])


def fine_affine(affine: NDArray[np.float64], factors: Sequence[float]) -> NDArray[np.float64]:
    """Return the affine of the super-resolved grid: affine . [scale 1/s, translate (1/s - 1) / 2]."""
    return affine @ _scaling([1.0 / factor for factor in factors])


def _scaling(scales: Sequence[float]) -> NDArray[np.float64]:
    matrix = np.diag([*scales, 1.0])
    matrix[:3, 3] = [(scale - 1) / 2 for scale in scales]
    return matrix


def apply_terms(terms: Terms, data: NDArray) -> NDArray[np.float64]:
    """Apply a linear operator to `data`: the sum over its terms."""
    first, *others = (apply_along_axes(matrices, data) for matrices in terms)
    return sum(others, first)


def apply_along_axes(matrices: Sequence[NDArray[np.float64] | None], data: NDArray) -> NDArray[np.float64]:
    """Multiply `data` by one matrix per axis, of shape (size out, size in); None leaves its axis as it is."""
    result = data
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            result = _multiplied(np.asarray(matrix, dtype=np.float64), result, axis)
    return np.asarray(result, dtype=np.float64)


def _multiplied(matrix: NDArray[np.float64], data: NDArray, axis: int) -> NDArray[np.float64]:
    """Multiply one axis of an array by a matrix, plane by plane.

    Only one plane at a time is converted to double precision, and the result has the memory order of `data`, so that
    the array is never copied as a whole.
    """
    order = memory_order(data)
    ordered, place = data.transpose(order), order.index(axis)
    shape = list(ordered.shape)
    shape[place] = len(matrix)
    result = np.empty(shape)
    for plane, product in zip(planes(ordered, place), planes(result, place), strict=True):
        np.matmul(matrix, plane.astype(np.float64), out=product)
    return undo_order(result, order)
