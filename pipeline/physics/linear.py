"""The linear part of a forward model: matrices along the axes, composed from its operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.config.parameters import PhysicalParameters
from pipeline.errors import UserError
from pipeline.physics.grid import Matrices, Terms, whole_cells
from pipeline.physics.parameters import axes_along

OPERATORS = "pipeline.physics.operators"


@dataclass(frozen=True)
class Lattice:
    """The grid that an operator is applied to.

    Attributes:
        sizes: number of voxels along each axis, which cover whole low-resolution voxels.
        factors: number of voxels per low-resolution voxel, at least 1; 1 after coarsening.
        spacing_mm: voxel spacing along each axis; None if unknown.
        slice_axis: axis perpendicular to the slices.
    """

    sizes: tuple[int, ...]
    factors: tuple[float, ...]
    spacing_mm: tuple[float, ...] | None
    slice_axis: int

    def spacing_along(self, axis: int) -> float | None:
        """Return the voxel spacing along an axis in mm, None if unknown."""
        return None if self.spacing_mm is None else self.spacing_mm[axis]

    def coarser(self) -> Lattice:
        """Return the low-resolution grid."""
        sizes = tuple(whole_cells(size, factor) for size, factor in zip(self.sizes, self.factors, strict=True))
        spacing = self.spacing_mm and tuple(x * factor for x, factor in zip(self.spacing_mm, self.factors, strict=True))
        return replace(self, sizes=sizes, factors=(1,) * len(sizes), spacing_mm=spacing)


def compose(steps: Sequence[PhysicalParameters], lattice: Lattice) -> Terms:
    """Return the composition of operators, applied in the given order.

    Args:
        steps: parameters of modules of pipeline.physics.operators, without ranges.
        lattice: the high-resolution grid.

    Raises:
        UserError: not exactly one operator coarsens the grid, or an operator needs an unknown voxel size.
    """
    coarsening = [step.name for step in steps if plugins.load(OPERATORS, step.name).COARSENS]
    if len(coarsening) != 1:
        raise UserError(
            f"degrade.operators: exactly one operator must coarsen, but {len(coarsening)} of {len(steps)} do."
        )
    terms: Terms = ((None,) * len(lattice.sizes),)
    for step in steps:
        module = plugins.load(OPERATORS, step.name)
        terms = tuple(_product(later, earlier) for earlier in terms for later in _step_terms(step, lattice))
        lattice = lattice.coarser() if module.COARSENS else lattice
    return terms


def _step_terms(step: PhysicalParameters, lattice: Lattice) -> Terms:
    """Return the terms of one operator."""
    module = plugins.load(OPERATORS, step.name)
    axes = _axes(step, lattice, module.COARSENS)
    if hasattr(module, "plane_terms"):
        first, second = axes
        sizes = (lattice.sizes[first], lattice.sizes[second])
        spacings = (lattice.spacing_along(first), lattice.spacing_along(second))
        pairs = module.plane_terms(sizes, spacings, step)
        return tuple(_at({first: one, second: other}, len(lattice.sizes)) for one, other in pairs)
    matrices = {
        axis: module.axis_matrix(lattice.sizes[axis], lattice.factors[axis], lattice.spacing_along(axis), step)
        for axis in axes
    }
    return (_at(matrices, len(lattice.sizes)),)


def _axes(step: PhysicalParameters, lattice: Lattice, coarsens: bool) -> Sequence[int]:
    """Return the axes along which an operator is applied."""
    dimensions = len(lattice.sizes)
    if coarsens:
        return [axis for axis in range(dimensions) if lattice.factors[axis] > 1]
    along: Any = getattr(step, "along", "in_plane")
    plane = axes_along("in_plane", lattice.slice_axis, dimensions)
    if along in ("first", "second"):
        return [plane[along == "second"]]
    return [axis for axis in axes_along(along, lattice.slice_axis, dimensions) if axis < dimensions]


def _at(matrices: dict[int, NDArray[np.float64]], dimensions: int) -> Matrices:
    return tuple(matrices.get(axis) for axis in range(dimensions))


def _product(later: Matrices, earlier: Matrices) -> Matrices:
    """Multiply two terms axis by axis."""
    pairs = zip(later, earlier, strict=True)
    return tuple(
        one if other is None else other if one is None else np.asarray(one @ other, dtype=np.float64)
        for one, other in pairs
    )


def without_axis(terms: Terms, axis: int) -> Terms:
    """Return the operator for images that are constant along an axis, without a matrix for that axis."""
    return tuple(_without_matrix(matrices, axis) for matrices in terms)


def _without_matrix(matrices: Matrices, axis: int) -> Matrices:
    """Replace the matrix of an axis by its gain for constants, which is multiplied into the matrix of another axis."""
    matrix = matrices[axis]
    if matrix is None:
        return matrices
    gain = float(matrix[0].sum())
    other = next(place for place, one in enumerate(matrices) if one is not None and place != axis)
    scaled = gain * np.asarray(matrices[other], dtype=np.float64)
    return tuple({**dict(enumerate(matrices)), axis: None, other: scaled}.values())
