"""Decimation: sampling at the centres of the coarse cells, usually after a blur.

For an odd factor the centre is a voxel. For an even factor it lies between two voxels, whose mean is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipeline.config.parameters import PhysicalParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSENS = True


class Parameters(PhysicalParameters):
    """Sampling at the cell centres (downsamples); it has no parameters."""

    name: Literal["decimation"] = "decimation"

    def describe(self) -> str:
        """Return a description of the operator."""
        return "sampling at the cell centres"


def axis_matrix(size: int, factor: float, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the sampling along one axis, see `pipeline.physics.operators`."""
    import numpy as np

    from pipeline.physics.grid import cell_centres, whole_cells

    del spacing_mm, parameters
    distances = np.abs(cell_centres(whole_cells(size, factor), factor)[:, None] - np.arange(size))
    return np.maximum(1 - distances, 0)
