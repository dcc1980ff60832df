"""Denoise references that are noisy themselves, by self-supervision on each volume alone.

Where the reference is noisy, as in electron microscopy, no method can agree with it beyond its noise. The reference is
an estimate, not a reference: measures against it are marked as such, stand beside those against the measured reference,
and never replace them. No method is trained on it.

Pixels of the reference are hidden from several denoisers, and the one that foretells them best is taken: noise that
knows nothing of its neighbours cannot be foretold, so that this is the denoiser nearest to the clean image (Batson and
Royer, Noise2Self, ICML 2019; scikit-image's calibrate_denoiser). Noise with structure, such as stripes, passes for
image.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import calibrate_denoiser, denoise_tv_chambolle

from pipeline.baselines import nlm_bspline3
from pipeline.errors import about
from pipeline.formats.io.container import read_image, write_image
from pipeline.image.image import Image
from pipeline.image.slices import evenly_spaced
from pipeline.steps._shards import each, new_folder

logger = logging.getLogger(__name__)

MAX_SLICES = 2
"""Slices on which denoisers are compared: the noise is the same in all."""
LARGEST_SIDE = 256
"""Of the part of a slice on which they are compared, in voxels."""

Denoiser = Callable[..., NDArray[np.floating]]


def total_variation(image: NDArray[np.floating], weight: float) -> NDArray[np.floating]:
    """Denoise by total variation (Chambolle, Journal of Mathematical Imaging and Vision 20:89-97, 2004)."""
    return np.asarray(denoise_tv_chambolle(image, weight=weight))


def non_local_means(image: NDArray[np.floating], sigma: float, patch_size: int) -> NDArray[np.floating]:
    """Denoise by non-local means, see `pipeline.baselines.nlm_bspline3.denoise`."""
    settings = {"sigma": sigma, "h_in_sigma": 1.0, "patch_size": patch_size, "patch_distance": 5}
    return nlm_bspline3.denoise(image[..., None], 2, settings)[..., 0]


CANDIDATES: tuple[tuple[Denoiser, dict[str, list]], ...] = (
    (total_variation, {"weight": [0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.24]}),
    (non_local_means, {"sigma": [0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.24], "patch_size": [3, 5]}),
)
"""Denoisers and the settings that are tried; intensities are normalised."""


def best_denoiser(slices: list[NDArray[np.floating]]) -> tuple[Denoiser, dict[str, Any], float]:
    """Return the denoiser that foretells hidden pixels best, its settings, and its mean squared error over them.

    Args:
        slices: normalised intensities, shape (rows, columns) each.
    """
    found: dict[tuple, tuple[Denoiser, dict[str, Any], list[float]]] = {}
    for denoiser, parameters in CANDIDATES:
        for one in slices:
            middle = tuple(slice(max(0, (size - LARGEST_SIDE) // 2), (size + LARGEST_SIDE) // 2) for size in one.shape)
            searched: Any = calibrate_denoiser(one[middle], denoiser, parameters, extra_output=True)
            tried, losses = searched[1]
            for settings, loss in zip(tried, losses, strict=True):
                key = (denoiser.__name__, *sorted(settings.items()))
                found.setdefault(key, (denoiser, settings, []))[2].append(float(loss))
    denoiser, settings, losses = min(found.values(), key=lambda one: np.mean(one[2]))
    return denoiser, settings, float(np.mean(losses))


def denoise(image: Image) -> Image:
    """Denoise the slices of an extracted volume, and record by what."""
    slices = np.moveaxis(np.asarray(image.data), image.slice_axis, 0)
    chosen = [slices[index] for index in evenly_spaced(image.block.foreground_slices, MAX_SLICES)]
    denoiser, settings, loss = best_denoiser(chosen)
    result = np.stack([denoiser(one, **settings) for one in slices]).astype(np.float32)
    words = ", ".join(f"{name} {value:g}" for name, value in (settings | {"hidden-pixel error": loss}).items())
    moved = np.moveaxis(result, 0, image.slice_axis)
    return image.with_data(moved).with_block(denoised=f"{denoiser.__name__}: {words}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    input: list[Path]
    """Extracted volumes (.safetensors)."""
    output: Path
    """Folder of the denoised volumes (.safetensors)."""


def run(options: Options) -> None:
    """Write the denoised volumes."""
    with new_folder(options.output) as folder:
        for path in each(options.input):
            image = read_image(path)
            volume = image.id
            with about(f"volume {volume!r}"):
                result = denoise(image)
                write_image(folder / f"{volume}.safetensors", result)
            change = float(np.std(result.data - image.data))
            logger.info("%s: %s; standard deviation of the change: %.4f", volume, result.block.denoised, change)
