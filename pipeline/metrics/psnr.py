"""Peak signal-to-noise ratio (Huynh-Thu and Ghanbari, Electronics Letters 44:800-801, 2008)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

TITLE = "PSNR"
UNIT = "dB"
HIGHER_IS_BETTER = True
PERFECT = math.inf
RANGE = "0 dB if the RMS error equals the full range; 20 dB more for a tenth of the error"
SOURCE = "Huynh-Thu and Ghanbari, Electronics Letters 44:800-801, 2008"
DECIMALS = 2


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return 10 log10(data_range^2 / mean squared error over the mask), in dB; infinite for identical images."""
    difference = np.asarray(reference, dtype=np.float64)[mask] - np.asarray(estimate, dtype=np.float64)[mask]
    error = float(np.mean(difference**2))
    return 10 * math.log10(data_range**2 / error) if error > 0 else PERFECT
