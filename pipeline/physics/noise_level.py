"""How strong the noise of an image is, from the image alone.

Magnitude images have air, and there nothing but noise: Rayleigh's distribution, the Rician one without signal. Where
air is found and follows it, its second moment tells sigma (Gudbjartsson and Patz, Magnetic Resonance in Medicine
34:910-914, 1995). Elsewhere the diagonal wavelet details of flat parts tell it (Donoho and Johnstone, Biometrika
81:425-455, 1994).

Both look at the quietest part of the image. Choosing the quietest values would underrate the noise; so a voxel is
chosen by its neighbours, and measured by itself. White noise knows nothing of its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.physics.parameters import PhysicalParameters

NOISES = "pipeline.physics.noise"

AIR_SHARE = 0.02
"""Share of all voxels, the darkest by their neighbours, that is taken for air."""
FLAT_SHARE = 0.05
"""Share of the wavelet details, those with the quietest neighbours, that is taken for flat."""
ENOUGH = 400
"""In small images larger shares are taken, up to this number: the second moment of so many tells sigma to 2.5 %."""
LARGEST_SHARE = 0.1
"""The largest share that is taken in small images."""
AIR_REACH = 2
"""Neighbours of a voxel lie in its slice, at most this far away along both axes."""
FLAT_REACH = 1
"""The same for wavelet details, in steps of their own, coarser grid."""
RAYLEIGH_RATIO = math.sqrt(math.pi / (4 - math.pi))
"""Mean over standard deviation of Rayleigh's distribution, 1.913. Ringing without noise has less, signal has more."""
RATIO_TOLERANCE = 0.04
"""How far this ratio may be off, as a fraction, beyond what chance does."""
RATIO_SPREAD = 0.71
"""Standard error of the ratio of one value, as a fraction: found by simulation, it falls with the square root."""
RAYLEIGH_SPREAD = math.sqrt(2 - math.pi / 2)
"""Standard deviation of Rayleigh's distribution over sigma, 0.655."""
DETAIL_TOLERANCE = 0.2
"""How far, as a fraction, the noise of air may exceed the finest detail anywhere, which holds it too, beyond chance."""
MEDIAN_SPREAD = 1.17
"""Standard error of the median magnitude of one normal value, as a fraction: it falls with the square root."""
ZEROS_ALLOWED = 0.25
"""Share of zeros among the neighbours from which on a zero counts as blanked, not measured."""

NORMAL_QUARTILE = 0.6744897501960817
"""Median magnitude of the standard normal distribution."""
LOW_PASS = np.array([1 + math.sqrt(3), 3 + math.sqrt(3), 3 - math.sqrt(3), 1 - math.sqrt(3)]) / math.sqrt(32)
"""Daubechies' wavelet of four coefficients (Communications on Pure and Applied Mathematics 41:909-996, 1988)."""
HIGH_PASS = LOW_PASS[::-1] * np.array([1, -1, 1, -1])
"""The other half of the pair: it is blind to constants and ramps."""
WINDOW = np.ones(4)
"""The voxels that a coefficient is made of."""
RING_SIZE = (2 * FLAT_REACH + 1) ** 2 - 1
"""How many neighbours a wavelet detail has."""
ROUNDS = 4
"""How often noise that grows with the intensity is estimated from the estimate before."""
LEAST_SIGMA = 1e-4
"""Below it nobody asks how noise grows."""
LEAST_RELATIVE = 0.02
"""Details that are darker count as having this share of the noise at 1.0, so that none counts without limit."""
SMALLEST_SIDE = 16
"""Rows and columns below which an image says too little."""


class Estimate(NamedTuple):
    """The strength of the noise.

    Attributes:
        sigma: standard deviation, per channel for magnitude images, as a fraction of the normalised range.
        method: "air", or "wavelet" where there is no air to speak of.
    """

    sigma: float
    method: Literal["air", "wavelet"]


def estimate_sigma(lr: NDArray[np.floating], slice_axis: int, noise: str | PhysicalParameters = "rician") -> Estimate:
    """Estimates the noise of a volume or a stack of slices.

    Args:
        lr: normalised intensities (1.0 is bright), shape (x, y, z). Its noise is taken to be white: an image that was
            interpolated after its measurement has less of it than it seems.
        slice_axis: axis along which the slices lie.
        noise: kind of noise, a name of pipeline.physics.noise, or parameters of one; only "rician" noise is looked for
            in air. Where noise grows with the intensity, sigma is that at intensity 1.0.

    Returns:
        Sigma, and how it was found. Air that is exactly zero was blanked and is passed over. Without air, fine
        structure passes for noise: in a coarse image of tissue, sigma is then hardly ever below 0.01.

    Raises:
        UserError: the slices are too small.
    """
    slices = np.moveaxis(np.asarray(lr, dtype=np.float64), slice_axis, 0)
    if min(slices.shape[1:]) < SMALLEST_SIDE:
        raise UserError(
            f"slices of {slices.shape[1]} x {slices.shape[2]} voxels are too small to estimate their noise; "
            f"{SMALLEST_SIDE} voxels along both axes are needed."
        )
    kind = noise if isinstance(noise, str) else noise.name
    module = plugins.load(NOISES, kind)
    if hasattr(module, "relative_std"):
        parameters = module.Parameters() if isinstance(noise, str) else noise
        return Estimate(_sigma_at_one(slices, partial(module.relative_std, parameters=parameters)), "wavelet")
    if kind != "rician":
        return Estimate(_sigma_of_details(slices), "wavelet")
    air, of_details = _air(slices), _sigma_of_details(slices)
    if air.size == 0:
        return Estimate(of_details, "wavelet")
    sigma = math.sqrt(float(np.mean(air**2)) / 2)
    # Dark tissue may have Rayleigh's ratio by chance, but then it is smooth.
    by_chance = 2 * MEDIAN_SPREAD / math.sqrt(_wanted(FLAT_SHARE, slices.size // 4))
    if _is_rayleigh(air) and sigma * RAYLEIGH_SPREAD < (1 + DETAIL_TOLERANCE + by_chance) * of_details:
        return Estimate(sigma, "air")
    # These voxels hold more than noise or not even noise; either way, the noise cannot be stronger than all of it.
    return Estimate(min(sigma, of_details), "wavelet")


def _air(slices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the values of the voxels with the darkest neighbours; none where too few of them were measured."""
    wanted = _wanted(AIR_SHARE, slices.size)
    measured = _mean_of_neighbours(slices == 0, AIR_REACH) < ZEROS_ALLOWED
    if np.count_nonzero(measured) < wanted:
        return np.empty(0)
    power = _mean_of_neighbours(slices**2, AIR_REACH)
    return _quietest(slices[measured], power[measured], wanted)


def _is_rayleigh(values: NDArray[np.float64]) -> bool:
    """Tells whether values have the mean over standard deviation of the magnitudes of pure noise."""
    spread = float(np.std(values))
    if spread == 0 or float(values.min()) < 0:
        return False
    by_chance = 2 * RATIO_SPREAD / math.sqrt(values.size)
    return abs(float(np.mean(values)) / spread / RAYLEIGH_RATIO - 1) < RATIO_TOLERANCE + by_chance


def _sigma_at_one(slices: NDArray[np.float64], relative_std: Callable[..., NDArray[np.float64]]) -> float:
    """Returns sigma at intensity 1.0: every detail is measured by the noise that its own intensity has."""
    intensity = _details(slices, WINDOW, WINDOW) / WINDOW.size**2
    sigma = _sigma_of_details(slices)
    for _ in range(ROUNDS):
        # How the noise grows depends on sigma itself, but little.
        relative = relative_std(intensity, max(sigma, LEAST_SIGMA))
        sigma = _sigma_of_details(slices, np.maximum(relative, LEAST_RELATIVE))
    return sigma


def _sigma_of_details(slices: NDArray[np.float64], relative: NDArray[np.float64] | float = 1.0) -> float:
    """Returns the median magnitude of the diagonal details where all details around are small, as a sigma.

    The median of a normal distribution's magnitudes is 0.6745 sigma. The details across and along count among the
    neighbours of a diagonal one, since white noise is independent between them.

    Args:
        slices: normalised intensities, shape (slice, rows, columns).
        relative: by what the noise is stronger at each detail than where sigma is asked for.
    """
    diagonal = _details(slices, HIGH_PASS, HIGH_PASS) / relative
    others = _details(slices, HIGH_PASS, LOW_PASS) ** 2 + _details(slices, LOW_PASS, HIGH_PASS) ** 2
    others = others / np.square(relative)
    power = _mean_of_neighbours(diagonal**2 + others, FLAT_REACH) + others / RING_SIZE
    measured = _details((slices == 0).astype(np.float64), WINDOW, WINDOW) == 0
    if not measured.any():
        return 0.0
    wanted = min(_wanted(FLAT_SHARE, diagonal.size), int(np.count_nonzero(measured)))
    flat = _quietest(diagonal[measured], power[measured], wanted)
    return float(np.median(np.abs(flat))) / NORMAL_QUARTILE


def _details(
    slices: NDArray[np.float64], down: NDArray[np.float64], across: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns one level of wavelet coefficients of every slice: those whose filters lie inside it."""
    filtered = ndimage.correlate1d(ndimage.correlate1d(slices, down, axis=1), across, axis=2)
    return filtered[:, 2:-1:2, 2:-1:2]


def _wanted(share: float, size: int) -> int:
    return math.ceil(max(share * size, min(ENOUGH, LARGEST_SHARE * size)))


def _quietest(values: NDArray[np.float64], power: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Returns the `count` values around which there is least power."""
    return values[np.argsort(power, kind="stable")[:count]]


def _mean_of_neighbours(slices: NDArray, reach: int) -> NDArray[np.float64]:
    """Returns the mean over the values around each one in its slice, without itself and what lies outside."""
    ring = np.ones((1, 2 * reach + 1, 2 * reach + 1))
    ring[0, reach, reach] = 0
    total = ndimage.correlate(slices.astype(np.float64), ring, mode="constant")
    return total / ndimage.correlate(np.ones((1, *slices.shape[1:])), ring, mode="constant")
