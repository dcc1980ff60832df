"""Interpolating cubic B-spline (Unser, Aldroubi and Eden, IEEE Transactions on Signal Processing 41, 1993)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.baselines import _matrices

TITLE = "Cubic B-spline"
DESCRIPTION = (
    "Interpolating B-spline of degree three, mirrored at the edges "
    "(Unser, Aldroubi and Eden, IEEE Transactions on Signal Processing 41:821-833, 1993)."
)


def axis_matrix(size: int, factor: int) -> NDArray[np.float64]:
    """Return the interpolation along one axis, of shape (size * factor, size).

    Column j is the spline through a single one at sample j, read at the centres of the fine cells.
    """
    centres = (np.arange(size * factor) - (factor - 1) / 2) / factor
    columns = [ndimage.map_coordinates(unit, [centres], order=3, mode="mirror") for unit in np.eye(size)]
    return np.stack(columns, axis=1)


def upsample(lr: NDArray[np.floating], factors: Sequence[int], settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Interpolate by cubic B-splines; arguments and result as in this package's docstring."""
    del settings
    return _matrices.enlarge(lr, factors, axis_matrix)
