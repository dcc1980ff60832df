"""Missing sections: lost when the block was cut, and replaced by the nearest section that remains.

Which sections are missing is known in practice, so that this is part of the linear operator: methods that know the
forward model, data consistency and the gate expect the copy and learn nothing from it. Several gaps are several
operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.config.parameters import PhysicalParameters, Ranged, number, shown
from pipeline.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSENS = False
LOCAL = False


class Parameters(PhysicalParameters):
    """Missing sections, replaced by their neighbours (after the operator that downsamples)."""

    name: Literal["missing_section"] = "missing_section"
    along: Literal["through_plane"] = "through_plane"
    """axis across the sections"""
    depth: Ranged[Annotated[float, Field(ge=0, le=1)]] = 0.5
    """position of the gap, from 0 for the first to 1 for the last section"""
    sections: Annotated[int, Field(ge=1, le=16)] = 1
    """number of consecutive sections that are missing"""

    def describe(self) -> str:
        """Return a description of the operator."""
        what = "one missing section" if self.sections == 1 else f"{self.sections} missing sections"
        return f"{what} at a relative depth of {shown(self.depth)}, replaced by the nearest one"


def axis_matrix(size: int, factor: float, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the copies along one axis, see `pipeline.physics.operators`.

    Raises:
        UserError: no section remains.
    """
    import numpy as np

    del factor, spacing_mm
    count = parameters.sections
    if count >= size:
        raise UserError(
            f"degrade.operators: missing_section.sections: {count} of {size} sections are missing; keep at least one."
        )
    first = round(number(parameters.depth) * (size - count))
    sources = np.arange(size)
    gap = np.arange(first, first + count)
    before, after = first - 1, first + count
    nearer = gap - before <= after - gap if before >= 0 else np.zeros(count, dtype=bool)
    sources[gap] = np.where(nearer | (after >= size), before, after)
    return np.eye(size)[sources]
