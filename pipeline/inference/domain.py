"""What a network was trained on, and whether an image lies outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.config.recipe import Recipe
from pipeline.models.generator import Generator
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.parameters import is_outside

FACT = "trained_on"
"""Fact about a network: what `training_domain` returns."""
NEGLIGIBLE_NOISE = 0.005
"""Noise below this fraction of the intensity range is never too low."""


def training_domain(models: Sequence[ForwardModel], recipe: Recipe) -> dict[str, Any]:
    """Return the ranges of noise level and voxel size that a network was trained on, as plain JSON values.

    Args:
        models: forward models of its training volumes.
        recipe: of the training.

    Returns:
        "noise_sigma", a pair of fractions of the normalised range, and "voxel_mm", a pair of low-resolution voxel sizes
        in mm along the axes that the network enlarges, or None where the size of a voxel is not known.
    """
    sigmas = recipe.noise_sigma_range or [model.noise_sigma for model in models]
    sizes = [
        length * factor
        for model in models
        for length, factor in zip(model.spacing_mm or (), model.factors, strict=False)
        if factor > 1
    ]
    return {
        "noise_sigma": [float(min(sigmas)), float(max(sigmas))],
        "voxel_mm": [min(sizes), max(sizes)] if sizes and all(model.spacing_mm for model in models) else None,
    }


def outside_training(network: Generator, sigma: float, voxel_mm: Sequence[float] | None) -> list[str]:
    """Return a sentence for everything about an image that lies outside of what a network was trained on.

    Args:
        network: its facts hold the `training_domain`; of older networks nothing is known, and nothing is returned.
        sigma: noise level of the image, as a fraction of the normalised range.
        voxel_mm: voxel sizes of the image along the axes that are enlarged, in mm; None where they are not known.
    """
    domain = network.facts.get(FACT) or {}
    found = []
    if domain.get("noise_sigma") and sigma > NEGLIGIBLE_NOISE and is_outside([sigma], domain["noise_sigma"]):
        low, high = domain["noise_sigma"]
        found.append(
            f"the noise level of the image is {sigma:.1%} of its intensity range; the network was trained on "
            f"{low:.1%} to {high:.1%}"
        )
    if domain.get("voxel_mm") and voxel_mm and is_outside(voxel_mm, domain["voxel_mm"]):
        low, high = domain["voxel_mm"]
        sizes = " x ".join(f"{size:.3g}" for size in voxel_mm)
        trained = f"{low:.3g} mm" if low == high else f"{low:.3g} to {high:.3g} mm"
        found.append(f"its voxels measure {sizes} mm along the enlarged axes; the network was trained on {trained}")
    return found


def enlarged_voxels(image: LowResolutionImage) -> list[float] | None:
    """Return the voxel sizes of a low-resolution image along the axes that are enlarged, in mm.

    Args:
        image: the measurement.
    """
    sizes, factors = image.spacing_mm, image.forward_model.factors
    return [size for size, factor in zip(sizes, factors, strict=True) if factor > 1] if sizes else None
