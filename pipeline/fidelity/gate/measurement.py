"""LR inputs of the consistency gate: volumes of a run, and images outside a run with an assumed forward model."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from pipeline.config.sections import Extract
from pipeline.errors import UserError, about
from pipeline.files import read_json
from pipeline.formats import Part, format_of
from pipeline.formats.io.container import SUFFIX, read_image
from pipeline.image.image import Image
from pipeline.image.normalisation import normalise
from pipeline.physics.degradation import check_magnitude
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import covered_shape
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma

logger = logging.getLogger(__name__)


def read_measurement(
    path: Path, model: Path | None, settings: Extract, noise_sigma: float | None
) -> LowResolutionImage:
    """Read an LR input: a low-resolution volume of a run, or another image.

    Args:
        path: the file.
        model: forward model assumed for an image outside a run (.forward.json); None for volumes of a run.
        settings: plane and foreground of an image outside a run.
        noise_sigma: its noise level as a fraction of the normalised range; None estimates it.

    Raises:
        UserError: the file cannot be read, or the forward model is missing.
    """
    if path.name.endswith(SUFFIX):
        return read_image(path, LowResolutionImage)
    if not path.exists():
        raise UserError(f"{path}: there is no such file.")
    if model is None:
        raise UserError(
            f"--forward-model: {path} does not record its forward model; give the .forward.json of a volume that was "
            "degraded like the training data of the network, from results/<run>/degraded."
        )
    with about(str(path)):
        image = normalise(format_of(path).read(path, Part()), settings)
    return as_measurement(image, ForwardModel.from_json(read_json(model)), noise_sigma, path.name.split(".")[0])


def as_measurement(image: Image, model: ForwardModel, noise_sigma: float | None, name: str) -> LowResolutionImage:
    """Return an image as the LR input of a forward model that was recorded for another volume.

    Args:
        image: the normalised image.
        model: the forward model; its factors are permuted to the slice axis of the image.
        noise_sigma: noise level as a fraction of the normalised range; None estimates it.
        name: name of the image, for messages.

    Raises:
        UserError: the noise model does not fit the image, or the noise level cannot be estimated.
    """
    check_magnitude(
        image, name, model.noise, "Choose with --forward-model one of a volume with degrade.noise: gaussian."
    )
    axis = image.slice_axis
    across_slices = model.factors[model.slice_axis]
    in_plane = next(factor for place, factor in enumerate(model.factors) if place != model.slice_axis)
    factors = tuple(across_slices if place == axis else in_plane for place in range(3))
    with about(name):
        sigma = estimate_sigma(image.data, axis, model.noise_settings).sigma if noise_sigma is None else noise_sigma
    logger.info("noise level: %.4f of the range", sigma)
    spacing = image.spacing_mm
    assumed = replace(
        model,
        factors=factors,
        hr_shape=covered_shape(image.data.shape, factors),
        noise_sigma=sigma,
        slice_axis=axis,
        spacing_mm=spacing and tuple(length / factor for length, factor in zip(spacing, factors, strict=True)),
    )
    identity = replace(image.identity, id=image.id or name)
    return LowResolutionImage.of(image.with_data(image.data, masks={}, identity=identity), assumed)
