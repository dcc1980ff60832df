"""Additive white Gaussian noise, whatever the intensity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipeline.config.parameters import PhysicalParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAGNITUDE = False


class Parameters(PhysicalParameters):
    """Gaussian noise; it has no parameters."""

    name: Literal["gaussian"] = "gaussian"

    def words(self) -> str:
        """Return the noise in words."""
        return "Gaussian noise"


def add_noise(
    image: NDArray[np.float32], sigma: float, generator: np.random.Generator, parameters: Parameters
) -> NDArray[np.float32]:
    """Add the noise, see the package."""
    import numpy as np

    del parameters
    return np.asarray(image + sigma * generator.standard_normal(image.shape, dtype=np.float32), dtype=np.float32)


def expected_value(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.floating]:
    """Return `image` unchanged: the noise has the mean zero."""
    del sigma, parameters
    return image


def standard_deviation(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return `sigma` everywhere, in the shape of `image`."""
    import numpy as np

    del parameters
    return np.full(image.shape, sigma, dtype=np.float64)
