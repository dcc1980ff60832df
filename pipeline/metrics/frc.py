"""Fourier ring correlation: the spatial frequency up to which an image agrees with the reference.

Saxton and Baumeister, Journal of Microscopy 127:127-138, 1982. If the reference is noisy, no method can agree with it
at the frequencies that are dominated by noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics._shells import NYQUIST, cut_off

TITLE = "FRC cut-off"
UNIT = "cycles/voxel"
HIGHER_IS_BETTER = True
PERFECT = NYQUIST
RANGE = "0 to 0.5"
SOURCE = "Saxton and Baumeister, Journal of Microscopy 127:127-138, 1982"
DECIMALS = 3


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return the frequency at which the ring correlation falls below 0.5, see `_shells.cut_off`.

    It is 0 if the bounding box of the region has a side of less than 8 voxels.
    """
    del data_range
    return cut_off(reference, estimate, mask)
