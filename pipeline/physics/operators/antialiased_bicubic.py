"""Bicubic downsampling with antialiasing as in MATLAB's imresize, the usual forward model for natural images.

The cubic convolution kernel with a = -0.5 (Keys, IEEE Transactions on Acoustics, Speech and Signal Processing
29:1153-1160, 1981) is stretched by the factor. The line is mirrored at its ends as in MATLAB, whereas Pillow
renormalises the kernel there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pipeline.config.parameters import PhysicalParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSENS = True


class Parameters(PhysicalParameters):
    """Antialiased bicubic interpolation (downsamples); it has no parameters."""

    name: Literal["antialiased_bicubic"] = "antialiased_bicubic"

    def describe(self) -> str:
        """Return a description of the operator."""
        return "antialiased bicubic downsampling"


def axis_matrix(size: int, factor: float, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the downsampling along one axis, see `pipeline.physics.operators`."""
    import numpy as np

    from pipeline.physics.grid import cell_centres, whole_cells

    del spacing_mm, parameters
    centres = cell_centres(whole_cells(size, factor), factor)
    first = np.ceil(centres - 2 * factor).astype(int)
    places = first[:, None] + np.arange(math.ceil(4 * factor) + 1)
    weights = _cubic((places - centres[:, None]) / factor)
    weights /= weights.sum(axis=1, keepdims=True)
    wrapped = places % (2 * size)
    columns = np.where(wrapped < size, wrapped, 2 * size - 1 - wrapped)
    matrix = np.zeros((centres.size, size))
    np.add.at(matrix, (np.arange(centres.size)[:, None], columns), weights)
    return matrix


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cubic convolution kernel with a = -0.5."""
    import numpy as np

    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))  # noqa: PLR2004
