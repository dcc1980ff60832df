"""Camera noise: photon noise, read noise, and rounding to integer counts.

The number of photons is Poisson distributed, the readout adds Gaussian noise, and the converter rounds (Foi, Trimeche,
Katkovnik and Egiazarian, IEEE Transactions on Image Processing 17:1737-1754, 2008; Huang et al., Nature Methods
10:653-658, 2013, for the parameters of a scientific CMOS camera). The number of photons at intensity 1.0 follows from
sigma, the total standard deviation there: sigma^2 N^2 = N + r^2 for N photons and r electrons of read noise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.config.parameters import PhysicalParameters, Ranged, number, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAGNITUDE = False


class Parameters(PhysicalParameters):
    """Camera noise: photon noise, read noise and rounding."""

    name: Literal["poisson_gaussian"] = "poisson_gaussian"
    read_noise_electrons: Ranged[Annotated[float, Field(ge=0, le=100)]] = 1.6
    """standard deviation of the read noise, in electrons"""
    gain_counts_per_electron: Ranged[Annotated[float, Field(gt=0, le=100)]] = 2.2
    """gain of the converter, in counts per electron"""
    offset_counts: Ranged[Annotated[float, Field(ge=0, le=10_000)]] = 100.0
    """counts without light; as counts are never negative, an offset of 0 clips the read noise"""

    def describe(self) -> str:
        """Return a description of the noise."""
        return f"photon noise, read noise of {shown(self.read_noise_electrons, 'electrons')} and rounding to counts"


def photons_at_one(sigma: float, read_noise_electrons: float) -> float:
    """Return the number of photons at intensity 1.0 that gives a total standard deviation of `sigma`."""
    return (1 + math.sqrt(1 + 4 * sigma**2 * read_noise_electrons**2)) / (2 * sigma**2)


def add_noise(
    image: NDArray[np.float32], sigma: float, generator: np.random.Generator, parameters: Parameters
) -> NDArray[np.float32]:
    """Return a noisy realisation, see `pipeline.physics.noise`; values below zero are set to zero unless sigma is 0."""
    import numpy as np

    if sigma == 0:
        return image
    read_noise, gain = number(parameters.read_noise_electrons), number(parameters.gain_counts_per_electron)
    offset = number(parameters.offset_counts)
    photons = photons_at_one(sigma, read_noise)
    electrons = generator.poisson(np.maximum(image, 0) * photons) + read_noise * generator.standard_normal(image.shape)
    counts = np.maximum(np.rint(gain * electrons + offset), 0)
    return ((counts - offset) / (gain * photons)).astype(np.float32)


def expected_value(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.floating]:
    """Return the expected value: the image with negative values set to zero.

    Clipping at zero counts is neglected; it matters only if the offset is less than a few times the read noise.
    """
    import numpy as np

    del parameters
    return image if sigma == 0 else np.maximum(image, 0)


def standard_deviation(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the standard deviation at every intensity, including rounding with a variance of 1/12 squared counts.

    Clipping at zero counts is neglected, as in `expected_value`.
    """
    import numpy as np

    if sigma == 0:
        return np.zeros(image.shape)
    read_noise, gain = number(parameters.read_noise_electrons), number(parameters.gain_counts_per_electron)
    photons = photons_at_one(sigma, read_noise)
    light = np.maximum(np.asarray(image, dtype=np.float64), 0) * photons
    return np.sqrt(light + read_noise**2 + 1 / (12 * gain**2)) / photons


def relative_std(intensity: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the standard deviation at an intensity divided by that at 1.0, without rounding."""
    return relative_power(intensity, sigma, number(parameters.read_noise_electrons)) ** 0.5


def relative_power(intensity: NDArray[np.floating], sigma: float, read_noise_electrons: float) -> NDArray[np.float64]:
    """Return the variance at an intensity divided by that at 1.0, where the standard deviation is `sigma` > 0."""
    import numpy as np

    photons = photons_at_one(sigma, read_noise_electrons)
    light = np.maximum(np.asarray(intensity, dtype=np.float64), 0) * photons
    return (light + read_noise_electrons**2) / (photons + read_noise_electrons**2)
