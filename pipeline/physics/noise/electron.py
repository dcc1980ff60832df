"""Noise of a scanning electron microscope: dose, detector, and jitter of the scan lines.

The electron dose is Poisson distributed, the detector adds Gaussian noise, and the position of the beam varies from one
scan line to the next (Jones and Nellist, Microscopy and Microanalysis 19:1050-1060, 2013). Scan lines run along the
first axis of a slice, x, which reports show from left to right. Shifted lines are interpolated linearly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.config.parameters import PhysicalParameters, Ranged, number, shown
from pipeline.physics.noise import poisson_gaussian
from pipeline.physics.noise._shifts import REACH, mean_kernel, shifted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGNITUDE = False
SHIFTS = 41
"""Number of shifts over which the variance of shifted lines is summed."""


class Parameters(PhysicalParameters):
    """Noise of a scanning electron microscope: dose, detector, and jitter of the scan lines."""

    name: Literal["electron"] = "electron"
    detector_noise_electrons: Ranged[Annotated[float, Field(ge=0, le=100)]] = 5.0
    """standard deviation of the detector noise, in electrons"""
    jitter_pixels: Ranged[Annotated[float, Field(ge=0, le=5)]] = 0.2
    """standard deviation of the displacement of a scan line, in low-resolution pixels"""

    def describe(self) -> str:
        """Return a description of the noise."""
        detector = shown(self.detector_noise_electrons, "electrons")
        return (
            f"dose noise, detector noise of {detector} and scan lines shifted by {shown(self.jitter_pixels, 'pixels')}"
        )


def add_noise(
    image: NDArray[np.float32], sigma: float, generator: np.random.Generator, parameters: Parameters
) -> NDArray[np.float32]:
    """Return a noisy realisation, see `pipeline.physics.noise`; values below zero are set to zero.

    The jitter is applied even if sigma is 0.
    """
    import numpy as np

    shifts = number(parameters.jitter_pixels) * generator.standard_normal(image.shape[1:])
    moved = shifted(np.asarray(image, dtype=np.float64), shifts)
    if sigma == 0:
        return moved.astype(np.float32)
    detector = number(parameters.detector_noise_electrons)
    electrons = poisson_gaussian.photons_at_one(sigma, detector)
    dose = generator.poisson(np.maximum(moved, 0) * electrons)
    return ((dose + detector * generator.standard_normal(image.shape)) / electrons).astype(np.float32)


def expected_value(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the mean over dose, detector and shifts: the image, slightly blurred along the scan lines."""
    import numpy as np
    from scipy import ndimage

    kernel = mean_kernel(number(parameters.jitter_pixels))
    mean = ndimage.convolve1d(np.asarray(image, dtype=np.float64), kernel, axis=0, mode="nearest")
    return mean if sigma == 0 else np.maximum(mean, 0)


def standard_deviation(image: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the standard deviation over dose, detector and shifts, float64; arguments as in `add_noise`.

    The shifts of the lines add the variance of the shifted image, which is summed over a grid of shifts. These errors
    are correlated within a line; the standard deviation is that of each voxel alone.
    """
    import numpy as np

    bright = np.maximum(np.asarray(image, dtype=np.float64), 0)
    jitter, detector = number(parameters.jitter_pixels), number(parameters.detector_noise_electrons)
    mean, variance = bright, np.zeros(image.shape)
    if jitter:
        places = np.linspace(-REACH, REACH, SHIFTS)
        weights = np.exp(-np.square(places) / 2) / np.exp(-np.square(places) / 2).sum()
        moved = [shifted(bright, np.full(image.shape[1:], jitter * place)) for place in places]
        mean = sum((weight * one for weight, one in zip(weights, moved, strict=True)), start=variance)
        variance = sum((w * np.square(one - mean) for w, one in zip(weights, moved, strict=True)), start=variance)
    if sigma:
        electrons = poisson_gaussian.photons_at_one(sigma, detector)
        variance = variance + mean / electrons + detector**2 / electrons**2
    return np.sqrt(variance)


def relative_std(intensity: NDArray[np.floating], sigma: float, parameters: Parameters) -> NDArray[np.float64]:
    """Return the standard deviation at an intensity divided by that at 1.0, without the jitter."""
    return poisson_gaussian.relative_power(intensity, sigma, number(parameters.detector_noise_electrons)) ** 0.5
