"""Measurements that the consistency gate compares with: volumes of a run, or images outside a run."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from pipeline.config.sections import Extract
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.formats import Part, format_of
from pipeline.formats.io.container import SUFFIX, read_image
from pipeline.image.image import Image
from pipeline.physics.degradation import check_magnitude
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma
from pipeline.steps.extract import normalise

logger = logging.getLogger(__name__)


def read_measurement(
    path: Path, model: Path | None, settings: Extract, noise_sigma: float | None
) -> LowResolutionImage:
    """Read a measurement: a low-resolution volume of a run, or an image of a user's own.

    Args:
        path: the file.
        model: forward model that an image of a user's own is taken to have come about by; None for volumes of a run.
        settings: plane and foreground of an image of a user's own.
        noise_sigma: its noise, as a fraction of the normalised range; None estimates it.

    Raises:
        UserError: the file cannot be read, or the forward model is missing.
    """
    if path.name.endswith(SUFFIX):
        return read_image(path, LowResolutionImage)
    if model is None:
        raise UserError(
            f"--forward-model: {path} says nothing of its forward model; give the .forward.json of a volume that was "
            "degraded as the network's training data were, from results/<run>/degraded."
        )
    try:
        image = normalise(format_of(path).read(path, Part()), settings)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return as_measured(image, ForwardModel.from_json(read_json(model)), noise_sigma, path.name.split(".")[0])


def as_measured(image: Image, model: ForwardModel, noise_sigma: float | None, name: str) -> LowResolutionImage:
    """Take an image as the measurement of a forward model that was recorded for another volume."""
    remedy = "Choose with --forward-model one of a volume with degrade.noise: gaussian."
    check_magnitude(image, name, model.noise, remedy)
    axis = image.slice_axis
    across = model.factors[model.slice_axis]
    inside = next(factor for place, factor in enumerate(model.factors) if place != model.slice_axis)
    factors = tuple(across if place == axis else inside for place in range(3))
    try:
        sigma = estimate_sigma(image.data, axis, model.noise_settings).sigma if noise_sigma is None else noise_sigma
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    logger.info("noise: %.4f of the range", sigma)
    shape = tuple(int(size) * factor for size, factor in zip(image.data.shape, factors, strict=True))
    spacing = image.spacing_mm
    taken = replace(
        model,
        factors=factors,
        hr_shape=shape,
        noise_sigma=sigma,
        slice_axis=axis,
        spacing_mm=spacing and tuple(length / factor for length, factor in zip(spacing, factors, strict=True)),
    )
    identity = replace(image.identity, id=image.id or name)
    return LowResolutionImage.of(image.with_data(image.data, masks={}, identity=identity), taken)
