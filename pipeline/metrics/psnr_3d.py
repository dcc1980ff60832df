"""Peak signal-to-noise ratio of a volume as a whole, which the error of all voxels decides alike.

The mean of `psnr` over slices is another number: there, a slice with little error counts as much as one with much.
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
    """Return 10 log10(data_range^2 / mean squared error over the mask), in dB; infinite where nothing differs."""
    del spacing
    return psnr.per_slice(reference, estimate, mask, data_range)
