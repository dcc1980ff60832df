"""Scans with thick slices as low-resolution images of isotropic ones."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from pipeline.errors import UserError
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Image
from pipeline.image.interleaving import interleaving_difference, without_interleaving
from pipeline.image.lengths import voxels_in_words
from pipeline.image.plane import NAMES, THICK
from pipeline.image.slice_profile import SliceProfile
from pipeline.inference.restoration import noise_model
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import covered_shape
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma
from pipeline.physics.operators import decimation, slice_profile
from pipeline.physics.resolved_profile import resolved_profile, slice_axis_of

logger = logging.getLogger(__name__)

ROUNDING = 1e-6


def as_thick_slices(
    image: Image, noise_sigma: float | None, thickness_mm: float | None, name: str
) -> LowResolutionImage:
    """Return a normalised scan with the forward model of its slices.

    Args:
        image: normalised scan.
        noise_sigma: noise level as a fraction of the intensity range; None estimates it.
        thickness_mm: slice thickness given by the user; None uses that of the file, an estimate, or the slice spacing.
        name: name of the image, for messages.

    Raises:
        UserError: the voxel size is unknown, or no axis is much coarser than the others.
    """
    profile = resolved_profile(image, thickness_mm, name)
    check_thick(image)
    sigma = noise_sigma
    if sigma is None:
        sigma = estimate_sigma(image.data, slice_axis_of(image), noise_model(image)).sigma
    return with_slice_model(image, profile, sigma)


def check_thick(image: Image) -> None:
    """Check that there are several slices, and that they are much thicker than the voxels within them.

    Raises:
        UserError: this is not so.
    """
    factor = slice_ratio(image)
    if image.data.shape[slice_axis_of(image)] == 1:
        raise UserError("has a single slice; there is nothing to restore between slices.")
    if factor < THICK - ROUNDING:
        raise UserError(
            f"thick slices are restored to isotropic voxels, but its voxels of "
            f"{voxels_in_words(image.spacing, image.unit)} are not {THICK:g} times longer along any axis; to enlarge "
            "it within its slices, give a baseline and --factor, such as --model total_variation --factor 2."
        )


def slice_ratio(image: Image) -> float:
    """Return the distance of the slices of a scan relative to the smallest voxel size within them."""
    axis, sizes = slice_axis_of(image), image.spacing
    ratio = sizes[axis] / min(sizes[other] for other in range(3) if other != axis)
    return round(ratio) if abs(ratio - round(ratio)) < ROUNDING * ratio else ratio


def with_slice_model(image: Image, profile: SliceProfile, sigma: float) -> LowResolutionImage:
    """Return a normalised scan with the forward model of slices of a given profile.

    Args:
        image: normalised scan.
        profile: thickness and shape of the slices.
        sigma: noise level as a fraction of the intensity range.
    """
    axis = slice_axis_of(image)
    factors = tuple(slice_ratio(image) if other == axis else 1 for other in range(3))
    model = ForwardModel(
        factors,
        covered_shape(image.data.shape, factors),
        noise_model(image),
        sigma,
        operators=(
            slice_profile.Parameters(profile=profile.shape, thickness_mm=profile.thickness_mm),
            decimation.Parameters(),
        ),
        slice_axis=axis,
        spacing_mm=tuple(
            length / scale for length, scale in zip(image.spacing_mm or image.spacing, factors, strict=True)
        ),
    )
    slicing = image.slicing and replace(image.slicing, plane=NAMES[axis], axis=axis)
    return LowResolutionImage.of(image.with_data(image.data, masks={}, slicing=slicing), model)


def without_stripes(image: LowResolutionImage, name: str) -> LowResolutionImage:
    """Return a scan whose even and odd slices have the same intensity, and log by how much they differed.

    Args:
        image: normalised scan with the forward model of its slices.
        name: name of the image, for messages.
    """
    axis = image.forward_model.slice_axis
    physical = np.asarray(image.intensity.to_physical(image.data), dtype=np.float32)
    difference = interleaving_difference(physical, foreground_mask(image.data), axis)
    if not difference:
        return image
    log_stripes(name, difference)
    data = image.intensity.normalise(without_interleaving(physical, difference, axis))
    return image.with_data(np.asarray(data, dtype=np.float32))


def log_stripes(name: str, difference: float) -> None:
    """Log that even and odd slices are matched."""
    logger.warning(
        "%s: even and odd slices differ by %.1f %% in intensity, as in interleaved acquisitions; they are matched",
        *(name, 100 * abs(difference)),
    )
