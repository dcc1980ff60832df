"""Noise of serial sections: brightness and position differ from one section to the next, besides Gaussian noise.

Staining, thickness and beam current change the brightness of a whole section; alignment leaves small shifts, and drift
if the errors of neighbouring sections are alike (Saalfeld, Fetter, Cardona and Tomancak, Nature Methods 9:717-720,
2012). These are nuisance terms: they are drawn from the seed that is recorded with the low-resolution image, but no
baseline, network or gate is given their values. To all of them they are noise of known distribution, whose expected
value is slightly blurred within the sections.

Shifts follow a first-order autoregressive process along the sections, with the same standard deviation everywhere.
Shifted sections are interpolated linearly. In a patch across the sections, they move along its rows alone.
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
NODES = 5
"""Number of shifts along each axis over which the variance of shifted sections is summed (Gauss-Hermite)."""


class Parameters(PhysicalParameters):
    """Noise of serial sections: brightness and position of every section, and Gaussian noise."""

    name: Literal["serial_sections"] = "serial_sections"
    brightness: Ranged[Annotated[float, Field(ge=0, le=0.5)]] = 0.05
    """standard deviation of the brightness of a section, relative to its mean"""
    shift_pixels: Ranged[Annotated[float, Field(ge=0, le=5)]] = 0.3
    """standard deviation of the displacement of a section along each in-plane axis, in low-resolution pixels"""
    drift_sections: Ranged[Annotated[float, Field(ge=0, le=1000)]] = 0.0
    """number of sections over which the correlation of displacements falls to 1/e; 0 for independent ones"""

    def describe(self) -> str:
        """Return a description of the noise."""
        drift = f", correlated over {shown(self.drift_sections, 'sections')}" if self.drift_sections else ""
        return (
            f"sections whose brightness differs by {shown(self.brightness)} and whose position by "
            f"{shown(self.shift_pixels, 'pixels')}{drift}, and Gaussian noise"
        )


def add_noise(
    image: NDArray[np.float32], sigma: float, generator: np.random.Generator, parameters: Parameters
) -> NDArray[np.float32]:
    """Return a noisy realisation, see `pipeline.physics.noise`.

    Brightness and shifts do not depend on sigma.
    """
    import numpy as np

    from pipeline.physics.noise._shifts import shifted

    sections = image.shape[2:]
    gains = 1 + number(parameters.brightness) * generator.standard_normal(sections)
    rows, columns = section_shifts(math.prod(sections), generator, parameters).reshape(2, *sections)
    moved = shifted(np.asarray(image, dtype=np.float64), np.broadcast_to(rows, image.shape[1:]))
    moved = shifted(np.swapaxes(moved, 0, 1), np.broadcast_to(columns, (image.shape[0], *sections)))
    noise = sigma * generator.standard_normal(image.shape)
    return np.asarray(gains * np.swapaxes(moved, 0, 1) + noise, dtype=np.float32)


def section_shifts(count: int, generator: np.random.Generator, parameters: Parameters) -> NDArray[np.float64]:
    """Draw the displacements of consecutive sections along both axes, in pixels, shape (2, count)."""
    import numpy as np

    length = number(parameters.drift_sections)
    kept = math.exp(-1 / length) if length else 0.0
    steps = generator.standard_normal((2, count))
    for index in range(1, count):
        steps[:, index] = kept * steps[:, index - 1] + math.sqrt(1 - kept**2) * steps[:, index]
    return np.asarray(number(parameters.shift_pixels) * steps)


def expected_value(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the mean over brightness and shifts: the image, slightly blurred within the sections."""
    import numpy as np
    from scipy import ndimage

    from pipeline.physics.noise._shifts import mean_kernel

    del sigma
    kernel = mean_kernel(number(parameters.shift_pixels))
    mean = np.asarray(image, dtype=np.float64)
    for axis in (0, 1):
        mean = ndimage.convolve1d(mean, kernel, axis=axis, mode="nearest")
    return mean


def standard_deviation(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the standard deviation over brightness, shifts and Gaussian noise, float64; arguments as in `add_noise`.

    Errors of brightness and position are correlated within a section; the standard deviation is that of each voxel
    alone.
    """
    import numpy as np

    from pipeline.physics.noise._shifts import shifted

    bright, shift = np.asarray(image, dtype=np.float64), number(parameters.shift_pixels)
    mean, square = bright, np.square(bright)
    if shift:
        places, weights = np.polynomial.hermite_e.hermegauss(NODES)
        weights = weights / weights.sum()
        mean, square = np.zeros(image.shape), np.zeros(image.shape)
        for place, weight in zip(shift * places, weights, strict=True):
            rows = np.swapaxes(shifted(bright, np.full(image.shape[1:], place)), 0, 1)
            for other, share in zip(shift * places, weight * weights, strict=True):
                moved = np.swapaxes(shifted(rows, np.full(rows.shape[1:], other)), 0, 1)
                mean, square = mean + share * moved, square + share * np.square(moved)
    variance = (1 + number(parameters.brightness) ** 2) * square - np.square(mean) + sigma**2
    return np.sqrt(np.maximum(variance, 0))
