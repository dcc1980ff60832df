"""Denoised references of volumes whose reference is noisy.

The noise of a reference, as in electron microscopy, limits the agreement that any method can reach. A denoised
reference is an estimate, not the ground truth: metrics computed against it are marked as such, are reported next to
those against the acquired reference, and never replace them. No method is trained on it.

The denoiser is chosen by self-supervision on the volume alone: pixels are masked, and the denoiser that predicts them
best is selected. Noise that is independent between pixels cannot be predicted, so this denoiser is the one closest to
the clean image (Batson and Royer, Noise2Self, ICML 2019; calibrate_denoiser of scikit-image). Structured noise, such as
stripes, is treated as image content.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import calibrate_denoiser, denoise_tv_chambolle

from pipeline.image.image import Image
from pipeline.image.slices import evenly_spaced
from pipeline.physics import denoising

MAX_SLICES = 2
"""Maximum number of slices on which denoisers are compared; the noise is the same in all slices."""
MAX_SIDE = 256
"""Maximum side of the central part of a slice on which denoisers are compared, in voxels."""

Denoiser = Callable[..., NDArray[np.floating]]


def total_variation(image: NDArray[np.floating], weight: float) -> NDArray[np.floating]:
    """Denoise a slice by total variation (Chambolle, Journal of Mathematical Imaging and Vision 20:89-97, 2004)."""
    return np.asarray(denoise_tv_chambolle(image, weight=weight))


def non_local_means(image: NDArray[np.floating], sigma: float, patch_size: int) -> NDArray[np.floating]:
    """Denoise a slice by non-local means with filter strength h = sigma."""
    settings = {"sigma": sigma, "h_in_sigma": 1.0, "patch_size": patch_size, "patch_distance": 5}
    return denoising.non_local_means(image[..., None], 2, settings)[..., 0]


CANDIDATES: tuple[tuple[Denoiser, dict[str, list]], ...] = (
    (total_variation, {"weight": [0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.24]}),
    (non_local_means, {"sigma": [0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.24], "patch_size": [3, 5]}),
)
"""Denoisers and the settings to compare, for normalised intensities."""


def best_denoiser(slices: list[NDArray[np.floating]]) -> tuple[Denoiser, dict[str, Any], float]:
    """Return the denoiser that predicts masked pixels best, its settings, and its mean squared error.

    Args:
        slices: normalised intensities, shape (rows, columns) each.
    """
    found: dict[tuple, tuple[Denoiser, dict[str, Any], list[float]]] = {}
    for denoiser, parameters in CANDIDATES:
        for one in slices:
            middle = tuple(slice(max(0, (size - MAX_SIDE) // 2), (size + MAX_SIDE) // 2) for size in one.shape)
            searched: Any = calibrate_denoiser(one[middle], denoiser, parameters, extra_output=True)
            tried, losses = searched[1]
            for settings, loss in zip(tried, losses, strict=True):
                key = (denoiser.__name__, *sorted(settings.items()))
                found.setdefault(key, (denoiser, settings, []))[2].append(float(loss))
    denoiser, settings, losses = min(found.values(), key=lambda one: np.mean(one[2]))
    return denoiser, settings, float(np.mean(losses))


def denoised_reference(image: Image) -> Image:
    """Return a volume with denoised slices, which records the denoiser and its settings."""
    slices = np.moveaxis(np.asarray(image.data), image.slice_axis, 0)
    chosen = [slices[index] for index in evenly_spaced(image.block.foreground_slices, MAX_SLICES)]
    denoiser, settings, loss = best_denoiser(chosen)
    result = np.stack([denoiser(one, **settings) for one in slices]).astype(np.float32)
    description = ", ".join(f"{name} {value:g}" for name, value in (settings | {"hidden-pixel error": loss}).items())
    moved = np.moveaxis(result, 0, image.slice_axis)
    return image.with_data(moved).with_block(denoised=f"{denoiser.__name__}: {description}")
