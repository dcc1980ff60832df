"""Binning: a low-resolution voxel is the mean of the voxels it covers, as in pixel binning of a camera."""

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


def axis_matrix(size: int, factor: int, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the mean over blocks along one axis, see `pipeline.physics.operators`."""
    import numpy as np

    del spacing_mm, parameters
    return np.repeat(np.eye(size // factor), factor, axis=1) / factor
