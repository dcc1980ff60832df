"""Comparison of an image with the training data of a network."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.image.lengths import lengths_in_words
from pipeline.models.record import TrainingDomain
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.parameters import is_out_of_range

NEGLIGIBLE_NOISE = 0.005
"""Noise below this fraction of the intensity range is never too low."""


CONTRAST_MARGIN = 0.05
"""Quantiles of the foreground may lie outside the range of the training volumes by this fraction of the intensities."""
QUANTILES = ("10 % quantile", "median", "90 % quantile")


def outside_domain(
    domain: TrainingDomain | None,
    sigma: float,
    voxel_mm: Sequence[float] | None,
    quantiles: Sequence[float] = (),
) -> list[str]:
    """Return a sentence for each property of an image that lies outside the range of the training data.

    Args:
        domain: of the network's training data; nothing is returned where it is unknown.
        sigma: noise level of the image, as a fraction of the normalised range.
        voxel_mm: voxel sizes of the image along the enlarged axes, in mm; None where they are unknown.
        quantiles: 10 %, 50 % and 90 % quantiles of its normalised foreground; none where they are unknown.
    """
    if domain is None:
        return []
    found = []
    if sigma > NEGLIGIBLE_NOISE and is_out_of_range([sigma], domain.noise_sigma):
        low, high = domain.noise_sigma
        found.append(
            f"the noise level of the image is {100 * sigma:.1f} % of its intensity range; the network was trained on "
            f"{100 * low:.1f} to {100 * high:.1f} %"
        )
    if domain.voxel_mm and voxel_mm and is_out_of_range(voxel_mm, domain.voxel_mm):
        low, high = domain.voxel_mm
        trained = lengths_in_words([low] if low == high else [low, high], " to ")
        found.append(
            f"its voxels measure {lengths_in_words(voxel_mm)} along the enlarged axes; the network was trained on "
            f"{trained}"
        )
    for name, value, (low, high) in zip(QUANTILES, quantiles, domain.foreground_quantiles, strict=False):
        if not low - CONTRAST_MARGIN <= value <= high + CONTRAST_MARGIN:
            found.append(
                f"its contrast is unusual: the {name} of the foreground is {value:.2f} of the intensity range; that of "
                f"the training volumes is {low:.2f} to {high:.2f}"
            )
    return found


def describe_domain(domain: TrainingDomain, voxel_mm: Sequence[float] | None) -> str:
    """Return in words the range of the training data with which an image was compared.

    Args:
        domain: of the network's training data.
        voxel_mm: voxel sizes of the image along the enlarged axes, in mm; None where they are unknown.
    """
    low, high = domain.noise_sigma
    sizes = ""
    if domain.voxel_mm:
        unknown = "" if voxel_mm else " (the size of these voxels is unknown)"
        sizes = f"voxels of {lengths_in_words(domain.voxel_mm, ' to ')} along the enlarged axes{unknown}, "
    return f"{sizes}noise of {100 * low:.3g} to {100 * high:.3g} %"


def enlarged_voxels(image: LowResolutionImage) -> list[float] | None:
    """Return the voxel sizes of a low-resolution image along the enlarged axes, in mm; None where they are unknown."""
    sizes, factors = image.spacing_mm, image.forward_model.factors
    return [size for size, factor in zip(sizes, factors, strict=True) if factor > 1] if sizes else None
