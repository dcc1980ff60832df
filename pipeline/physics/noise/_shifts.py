"""Lines of an image that are shifted by random numbers of pixels, interpolated linearly."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REACH = 5
"""Maximum shift in standard deviations."""


def shifted(image: NDArray[np.float64], shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift every line along the first axis by its own number of pixels, repeating its end values."""
    import numpy as np

    size = len(image)
    places = np.clip(np.arange(size).reshape(-1, *[1] * shifts.ndim) - shifts, 0, size - 1)
    lower = np.minimum(places.astype(int), max(size - 2, 0))
    part = places - lower
    low = np.take_along_axis(image, lower, 0)
    high = np.take_along_axis(image, np.minimum(lower + 1, size - 1), 0)
    return low + part * (high - low)


def mean_kernel(deviation: float) -> NDArray[np.float64]:
    """Return the mean weights of a linear interpolation over normally distributed shifts.

    The weights are a triangle, the second difference of a ramp; the mean of a ramp over a normal distribution has a
    closed form.

    Args:
        deviation: standard deviation of the shifts, in pixels.
    """
    import numpy as np
    from scipy import stats

    places = np.arange(-math.ceil(REACH * deviation) - 2, math.ceil(REACH * deviation) + 3)
    if deviation == 0:
        ramp = np.maximum(places, 0).astype(np.float64)
    else:
        ramp = deviation * stats.norm.pdf(places / deviation) + places * stats.norm.cdf(places / deviation)
    weights = np.diff(ramp, 2)
    return weights / weights.sum()
