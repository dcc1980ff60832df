"""Noise of magnitude MRI with a root-sum-of-squares combination of receive coils.

The noncentral chi distribution (Constantinides, Atalar and McVeigh, Magnetic Resonance in Medicine 38:852-857, 1997),
for coils with equal and uncorrelated noise. With one coil it is the Rician distribution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.config.parameters import PhysicalParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAGNITUDE = True


class Parameters(PhysicalParameters):
    """Noncentral chi noise of several receive coils."""

    name: Literal["noncentral_chi"] = "noncentral_chi"
    coils: Annotated[int, Field(ge=1, le=128)] = 8
    """number of receive coils, combined by the root of the sum of squares"""

    def describe(self) -> str:
        """Return a description of the noise."""
        return f"noncentral chi noise of {self.coils} coils"


def add_noise(
    image: NDArray[np.float32], sigma: float, generator: np.random.Generator, parameters: Parameters
) -> NDArray[np.float32]:
    """Add complex Gaussian noise of `sigma` per channel to every coil and combine the coils.

    See `pipeline.physics.noise`. If sigma is 0, the image is returned unchanged.
    """
    import numpy as np

    if sigma == 0:
        return image
    # The whole signal can be placed in one channel, since the sum of squares is invariant under rotation.
    signal = np.maximum(image, 0) + sigma * generator.standard_normal(image.shape, dtype=np.float32)
    others = 2 * parameters.coils - 1
    rest = sigma**2 * 2 * generator.standard_gamma(others / 2, image.shape, dtype=np.float32)
    return np.sqrt(signal**2 + rest).astype(np.float32)


def expected_value(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the mean of the combined magnitude.

    Args:
        image: noiseless combined magnitude; values below zero are set to zero, where the slope of the mean is zero. If
            sigma is 0, the mean is the image itself.
        sigma: standard deviation per channel.
        parameters: parameters of the noise.

    Returns:
        sqrt(2) sigma Gamma(n + 1/2) / Gamma(n) 1F1(-1/2; n; -image^2 / (2 sigma^2)) for n coils, float64.
    """
    import numpy as np
    from scipy import special

    if sigma == 0:
        return np.asarray(image, dtype=np.float64)
    magnitude: NDArray[np.float64] = np.maximum(np.asarray(image, dtype=np.float64), 0)
    coils = parameters.coils
    x = np.square(magnitude / sigma) / 2
    bright = x > coils
    near, far = _near(np.where(bright, 0, x), coils), _far(np.where(bright, x, coils), coils)
    return np.asarray(math.sqrt(2) * sigma * special.poch(coils, 0.5) * np.where(bright, far, near), dtype=np.float64)


def standard_deviation(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the standard deviation of the combined magnitude, float64; arguments as in `expected_value`.

    The mean of the squared magnitude is image^2 + 2 n sigma^2 for n coils.
    """
    import numpy as np

    if sigma == 0:
        return np.zeros(image.shape)
    signal = np.maximum(np.asarray(image, dtype=np.float64), 0)
    power = np.square(signal) + 2 * parameters.coils * sigma**2
    return np.sqrt(np.maximum(power - expected_value(image, sigma, parameters) ** 2, 0))


def _near(x: NDArray[np.float64], coils: int) -> NDArray[np.float64]:
    """Return 1F1(-1/2; n; -x) for x <= n as exp(-x) 1F1(n + 1/2; n; x), whose series has only positive terms."""
    import numpy as np

    term = np.exp(-x)
    total = term.copy()
    for k in range(math.ceil(coils + 10 * math.sqrt(coils)) + 20):
        term = term * (coils + 0.5 + k) / (coils + k) * x / (k + 1)
        total += term
    return total


def _far(x: NDArray[np.float64], coils: int) -> NDArray[np.float64]:
    """Return 1F1(-1/2; n; -x) for x >= n, where the series overflows, by recurrence in n from Bessel functions.

    The recurrence (Abramowitz and Stegun, 13.4.2) adds only positive numbers for these x and is therefore stable.
    """
    from scipy import special

    # The scaled Bessel functions include the factor exp(-x / 2).
    zeroth, first = special.ive(0, x / 2), special.ive(1, x / 2)
    # The recurrence starts with n - 1 times the previous function, which stays finite as n approaches 1.
    before, function = x / 2 * (zeroth + first), (1 + x) * zeroth + x * first
    for n in range(1, coils):
        before, function = n * function, n * (before + (1 - n + x) * function) / (x * (n + 0.5))
    return function
