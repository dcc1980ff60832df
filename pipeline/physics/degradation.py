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
    """Return the forward model of a volume; numbers are drawn from ranges by the seed and the volume's name.

    Raises:
        UserError: it works across the slices, between which there are channels; or its noise is one of magnitudes, and
            the image has negative values.
    """
    remedy = "Choose degrade.noise: gaussian, or leave the volume out."
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
            f"volume {image.id!r}: has several channels, which would be mixed where degrade blurs or coarsens "
            "across the slices. Choose one of them with the volume's key `channel`, or work in the plane."
        )
    return model


def check_magnitude(image: Image, name: str, noise: str, remedy: str) -> None:
    """Refuse negative values where a noise has no meaning for them: CT, phase and signed maps are no magnitudes.

    Args:
        image: normalised; an unknown `stored_minimum` of its block counts as not negative.
        name: of the image.
        noise: a module of pipeline.physics.noise.
        remedy: what the user can do, a sentence.

    Raises:
        UserError: the image has negative values, and the noise is one of magnitudes.
    """
    lowest = image.block.stored_minimum
    if plugins.load(NOISES, noise).MAGNITUDE and lowest is not None and lowest < 0:
        raise UserError(
            f"{name}: has negative values (the lowest is {lowest:g}), but the noise {noise} is that of magnitude "
            f"images. {remedy}"
        )


def degrade(image: Image, model: ForwardModel) -> LowResolutionImage:
    """Return the low-resolution image, on the grid of cell centres, with no mask but "missing", if there is one."""
    affine = coarse_affine(image.affine, model.factors)
    missing = image.masks.get(MISSING)
    masks = {} if missing is None else {MISSING: coarse_missing(missing, model.factors, model.lr_shape)}
    return LowResolutionImage.of(image.with_data(model.measure(image.data), affine=affine, masks=masks), model)
