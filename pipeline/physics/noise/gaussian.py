"""Additive white Gaussian noise, independent of the intensity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipeline.config.parameters import PhysicalParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAGNITUDE = False


class Parameters(PhysicalParameters):
    """Gaussian noise, without parameters."""

    name: Literal["gaussian"] = "gaussian"

    def describe(self) -> str:
        """Return a description of the noise."""
        return "Gaussian noise"


def add_noise(
    image: NDArray[np.float32], sigma: float, generator: np.random.Generator, parameters: Parameters
) -> NDArray[np.float32]:
    """Add Gaussian noise, see `pipeline.physics.noise`."""
    import numpy as np

    del parameters
    return np.asarray(image + sigma * generator.standard_normal(image.shape, dtype=np.float32), dtype=np.float32)


def expected_value(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.floating]:
    """Return `image` unchanged, since the noise has zero mean."""
    del sigma, parameters
    return image


def standard_deviation(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return an array of `sigma` in the shape of `image`."""
    import numpy as np

    del parameters
    return np.full(image.shape, sigma, dtype=np.float64)
