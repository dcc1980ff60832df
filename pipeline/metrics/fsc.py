"""Fourier shell correlation: the spatial frequency up to which a volume agrees with the reference, in 3-D.

Harauz and van Heel, Optik 73:146-156, 1986. The volume is compared with a reference instead of a second measurement,
as in `frc` for slices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics._shells import NYQUIST, cut_off

TITLE = "FSC cut-off"
UNIT = "cycles/voxel"
HIGHER_IS_BETTER = True
PERFECT = NYQUIST
RANGE = "0 to 0.5; per voxel of the axis with the largest voxels"
SOURCE = "Harauz and van Heel, Optik 73:146-156, 1986"
DECIMALS = 3


def per_volume(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    spacing: Sequence[float],
) -> float:
    """Return the frequency at which the shell correlation falls below 0.5, see `_shells.cut_off`.

    It is 0 if the bounding box of the region has a side of less than 8 voxels.
    """
    del data_range
    return cut_off(reference, estimate, mask, spacing)
