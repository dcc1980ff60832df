"""Fourier shell correlation along the slice axis: the frequency across slices up to which a volume agrees.

As `fsc`, but only for frequencies within 20 degrees of the slice axis (conical FSC; Diebolder et al., Journal of
Structural Biology 190:215-223, 2015; the angle is that of Tan et al., Nature Methods 14:793-796, 2017). It is meant for
volumes that are restored through-plane: what the slices themselves resolve does not contribute.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics._shells import NYQUIST, cut_off

TITLE = "FSC cut-off along z"
UNIT = "cycles/voxel"
HIGHER_IS_BETTER = True
PERFECT = NYQUIST
RANGE = "0 to 0.5; per voxel of the slice axis"
SOURCE = "Diebolder, Faas, Koster and Koning, Journal of Structural Biology 190:215-223, 2015"
DECIMALS = 3
CONE_DEGREES = 20.0
"""Half-angle of the cone around the slice axis."""


def per_volume(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    spacing: Sequence[float],
) -> float:
    """Return the frequency at which the correlation in the cone falls below 0.5, see `_shells.cut_off`.

    It is 0 if the bounding box of the region has a side of less than 8 voxels.
    """
    del data_range
    return cut_off(reference, estimate, mask, spacing, CONE_DEGREES)
