"""Low-resolution volumes simulated from high-resolution ones, each with its forward model."""

from __future__ import annotations

from pipeline import plugins
from pipeline.config.sections import NOISES, Degrade
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.missing_values import MASK as MISSING
from pipeline.image.missing_values import coarse_missing
from pipeline.physics.forward import ForwardModel, drawn_model, volume_seed
from pipeline.physics.grid import coarse_affine
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.parameters import axes_along


def forward_model(image: Image, settings: Degrade, seed: int) -> ForwardModel:
    """Return the forward model of a volume; parameters given as ranges are drawn by the seed and the volume's name.

    Raises:
        UserError: the model works across the slices of an image with several channels, or it adds magnitude noise to
            an image with negative values.
    """
    remedy = "Set degrade.noise to gaussian, or exclude the volume."
    check_magnitude(image, f"volume {image.id!r}", settings.noise, remedy)
    slice_axis = image.slice_axis
    coarser = axes_along(settings.direction, slice_axis)
    factors = tuple(settings.factor if axis in coarser else 1 for axis in range(3))
    shape = tuple(int(size) for size in image.data.shape)
    noise_seed = volume_seed(seed, image.id)
    noise, spacing = settings.noise_settings, image.spacing_mm
    sigma, operators = settings.noise_sigma, settings.operators
    model = drawn_model(factors, shape, sigma, noise_seed, operators, noise, slice_axis, spacing)
    if image.stack.has_channels and any(matrices[slice_axis] is not None for matrices in model.terms):
        raise UserError(
            f"volume {image.id!r}: has several channels, which would be mixed if degrade blurred or coarsened "
            "across the slices. Select one channel with the volume's key `channel`, or degrade in-plane."
        )
    return model


def check_magnitude(image: Image, name: str, noise: str, remedy: str) -> None:
    """Reject images with negative values for magnitude noise: CT, phase and signed maps are not magnitudes.

    Args:
        image: normalised image; an unknown `stored_minimum` of its block counts as not negative.
        name: name of the image, for the message.
        noise: name of a module of pipeline.physics.noise.
        remedy: what the user can do, a sentence.

    Raises:
        UserError: the image has negative values and the noise model is for magnitudes.
    """
    lowest = image.block.stored_minimum
    if plugins.load(NOISES, noise).MAGNITUDE and lowest is not None and lowest < 0:
        raise UserError(
            f"{name}: has negative values (minimum {lowest:g}), but {noise} noise is defined for magnitude "
            f"images only. {remedy}"
        )


def degrade(image: Image, model: ForwardModel) -> LowResolutionImage:
    """Return the simulated low-resolution image on the grid of cell centres; of the masks, only "missing" is kept."""
    affine = coarse_affine(image.affine, model.factors)
    missing = image.masks.get(MISSING)
    masks = {} if missing is None else {MISSING: coarse_missing(missing, model.factors, model.lr_shape)}
    profile = image.profile_after(model.factors)
    coarse = image.with_data(model.simulate(image.data), affine=affine, masks=masks, slice_profile=profile)
    return LowResolutionImage.of(coarse, model)
