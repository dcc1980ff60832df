"""Rician noise of magnitude MRI (Gudbjartsson and Patz, Magnetic Resonance in Medicine 34:910-914, 1995)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipeline.config.parameters import PhysicalParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAGNITUDE = True


class Parameters(PhysicalParameters):
    """Rician noise of one receive coil, without parameters."""

    name: Literal["rician"] = "rician"

    def describe(self) -> str:
        """Return a description of the noise."""
        return "Rician noise"


def add_noise(
    image: NDArray[np.float32], sigma: float, generator: np.random.Generator, parameters: Parameters
) -> NDArray[np.float32]:
    """Add complex Gaussian noise and return the magnitude.

    Args:
        image: normalised intensities of any shape. Values below zero are set to zero, unless sigma is 0.
        sigma: standard deviation per channel (real and imaginary), in the same normalised units.
        generator: random number generator.
        parameters: unused.

    Returns:
        The noisy magnitude, float32, of the same shape.
    """
    import numpy as np

    del parameters
    if sigma == 0:
        return image
    real = np.maximum(image, 0) + sigma * generator.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * generator.standard_normal(image.shape, dtype=np.float32)
    return np.hypot(real, imaginary)


def expected_value(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the mean of the noisy magnitude, which is biased upwards at low intensities.

    Args:
        image: noiseless intensities; values below zero are set to zero, where the slope of the mean is zero. If sigma
            is 0, the mean is the image itself.
        sigma: as in `add_noise`.
        parameters: unused.

    Returns:
        sigma sqrt(pi / 2) L(-image^2 / (2 sigma^2)) with the Laguerre polynomial L of degree 1/2, float64.
    """
    import numpy as np
    from scipy import special

    del parameters
    if sigma == 0:
        return np.asarray(image, dtype=np.float64)
    half = np.square(np.maximum(np.asarray(image, dtype=np.float64), 0)) / (4 * sigma**2)
    # The scaled Bessel functions include the factor exp(-half), so that bright voxels do not overflow.
    laguerre = (1 + 2 * half) * special.ive(0, half) + 2 * half * special.ive(1, half)
    return sigma * np.sqrt(np.pi / 2) * laguerre


def standard_deviation(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the standard deviation of the noisy magnitude: sigma at high intensity, 0.655 sigma without signal.

    The mean of the squared magnitude is image^2 + 2 sigma^2; arguments as in `expected_value`.
    """
    import numpy as np

    if sigma == 0:
        return np.zeros(image.shape)
    mean = expected_value(image, sigma, parameters)
    signal = np.maximum(np.asarray(image, dtype=np.float64), 0)
    return np.sqrt(np.maximum(np.square(signal) + 2 * sigma**2 - mean**2, 0))
