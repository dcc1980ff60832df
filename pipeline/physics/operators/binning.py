"""Binning: a low-resolution voxel is the mean of the voxels it covers, as in pixel binning of a camera.

Voxels that it covers in part are weighted by that part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipeline.config.parameters import PhysicalParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSENS = True


class Parameters(PhysicalParameters):
    """Mean over blocks (downsamples); it has no parameters."""

    name: Literal["binning"] = "binning"

    def describe(self) -> str:
        """Return a description of the operator."""
        return "binning (mean over blocks)"


def axis_matrix(size: int, factor: float, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the mean over blocks along one axis, see `pipeline.physics.operators`."""
    from pipeline.physics.grid import overlaps, whole_cells

    del spacing_mm, parameters
    shared = overlaps(whole_cells(size, factor), factor, size)
    return shared / shared.sum(axis=1, keepdims=True)
