"""No noise, for comparison with papers that simulate none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipeline.config.parameters import PhysicalParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAGNITUDE = False


class Parameters(PhysicalParameters):
    """No noise, without parameters."""

    name: Literal["none"] = "none"


def add_noise(
    image: NDArray[np.float32], sigma: float, generator: np.random.Generator, parameters: Parameters
) -> NDArray[np.float32]:
    """Return `image` unchanged; arguments as in the other modules of this package."""
    del sigma, generator, parameters
    return image


def expected_value(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.floating]:
    """Return `image` unchanged."""
    del sigma, parameters
    return image


def standard_deviation(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return zeros of the shape of `image`."""
    import numpy as np

    del sigma, parameters
    return np.zeros(image.shape)
