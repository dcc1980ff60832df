"""Binning: a low-resolution voxel is the mean of those that it covers, as when a camera's pixels are read together."""

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

    def words(self) -> str:
        """Return the step in words."""
        return "binning (mean over blocks)"


def axis_matrix(size: int, factor: int, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the mean over blocks along one axis, see the package."""
    import numpy as np

    del spacing_mm, parameters
    return np.repeat(np.eye(size // factor), factor, axis=1) / factor
