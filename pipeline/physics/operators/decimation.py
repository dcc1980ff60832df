"""Decimation: the image is sampled at the centres of the coarse cells. A blur belongs before it.

With an odd factor the centre is a voxel. With an even one it lies between two, whose mean is taken.
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

    def words(self) -> str:
        """Return the step in words."""
        return "sampling at the cell centres"


def axis_matrix(size: int, factor: int, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the sampling along one axis, see the package."""
    import numpy as np

    del spacing_mm, parameters
    middle = np.zeros((1, factor))
    middle[0, (factor - 1) // 2 : factor // 2 + 1] = 1
    return np.kron(np.eye(size // factor), middle / middle.sum())
