"""Peak signal-to-noise ratio of a whole volume, in which the errors of all voxels have equal weight.

It differs from the mean of `psnr` over slices, in which slices with small and large errors have equal weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import psnr

TITLE = "PSNR, 3-D"
UNIT, HIGHER_IS_BETTER, PERFECT, RANGE = psnr.UNIT, psnr.HIGHER_IS_BETTER, psnr.PERFECT, psnr.RANGE
SOURCE, DECIMALS = psnr.SOURCE, psnr.DECIMALS


def per_volume(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    spacing: Sequence[float],
) -> float:
    """Return 10 log10(data_range^2 / mean squared error over the mask), in dB; infinite for identical images."""
    del spacing
    return psnr.per_slice(reference, estimate, mask, data_range)
