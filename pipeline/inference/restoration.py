"""Restoration of a low-resolution volume: its noise level, the network, data consistency, and a check of the result."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config.parameters import PhysicalParameters
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.intensity_limits import limited
from pipeline.inference.background import Background, has_background, needed_margin, tissue_of
from pipeline.inference.domain import enlarged_voxels, outside_domain
from pipeline.inference.result_check import agreement_with_measurement, check_agreement
from pipeline.inference.volume import restore_volume, restore_with_tta_std
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator
from pipeline.physics.data_consistency import apply_data_consistency, weight_at
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma

logger = logging.getLogger(__name__)

MAGNITUDE_NOISE, MICROSCOPE_NOISE = "rician", "gaussian"
"""Noise models assumed for heads and for micrographs, modules of pipeline/physics/noise."""


class Restored(NamedTuple):
    """A restored volume.

    Attributes:
        restored: normalised intensities, float32, of shape image.data.shape * factors.
        tta_std: TTA standard deviation, of the same shape, before data consistency; None unless requested.
        sigma: noise level given to the network, as a fraction of the normalised range.
    """

    restored: NDArray[np.float32]
    tta_std: NDArray[np.float32] | None
    sigma: float


@cache
def network_on(path: Path, device: torch.device) -> Generator:
    """Return a network on a device, in evaluation mode; each file is read once per process."""
    return load_generator(path).to(device).eval()


def restore(network: Generator, image: LowResolutionImage, settings: Infer) -> NDArray[np.float32]:
    """Restore a low-resolution volume with one network; see `restore_measured`."""
    return restore_measured([network], image, settings).restored


def restore_measured(
    networks: Sequence[Generator], image: LowResolutionImage, settings: Infer, *, with_tta_std: bool = False
) -> Restored:
    """Restore a low-resolution volume whose forward model is known, and apply data consistency.

    Args:
        networks: on their device, in evaluation mode: the one whose result is returned, then further members of the
            ensemble, which contribute to the TTA standard deviation alone.
        image: the low-resolution volume.
        settings: the section `infer`.
        with_tta_std: compute the TTA standard deviation.
    """
    inside = image.with_data(limited(image.data).values)
    sigma = noise_sigma(inside, image.forward_model.noise_settings, settings)
    logger.info("data-consistency weight: %.2f", consistency_weight(networks[0], sigma, settings))
    return restore_at(sigma, networks, image, settings, with_tta_std=with_tta_std)


def passes_of(network: Generator, settings: Infer) -> int:
    """Return the number of forward passes per slice: that of the settings, or else that of the network."""
    return settings.passes or network.record.self_ensemble


def consistency_weight(network: Generator, sigma: float, settings: Infer) -> float:
    """Return the data-consistency weight of a network for a noise level."""
    return weight_at(sigma, network.record.consistency_weights) if settings.data_consistency else 0.0


def restore_at(
    sigma: float,
    networks: Sequence[Generator],
    image: LowResolutionImage,
    settings: Infer,
    *,
    with_tta_std: bool = False,
) -> Restored:
    """Restore a low-resolution volume at a given noise level, without a log; see `restore_measured`."""
    model = replace(image.forward_model, noise_sigma=sigma)
    # Networks see no intensities beyond their limits; what lies beyond is added at the end.
    within = limited(image.data)
    inside, given = image.with_data(within.values), settings.model_copy(update={"noise_sigma": sigma})
    found = restore_uncorrected(networks, inside, model.noise_settings, given, with_tta_std=with_tta_std)
    weight = consistency_weight(networks[0], sigma, settings)
    corrected = apply_data_consistency(found.restored, inside.data, model, weight)
    return found._replace(restored=within.added_to(corrected, model.factors))


def restore_uncorrected(
    networks: Sequence[Generator],
    image: LowResolutionImage,
    noise: str | PhysicalParameters,
    settings: Infer,
    *,
    with_tta_std: bool = False,
) -> Restored:
    """Restore a low-resolution volume without data consistency, for which its forward model need not be known.

    Args:
        networks: as in `restore_measured`.
        image: the low-resolution volume.
        noise: as in `noise_sigma`.
        settings: the section `infer`.
        with_tta_std: compute the TTA standard deviation.
    """
    sigma = noise_sigma(image, noise, settings)
    factors, axis = image.forward_model.factors, image.slice_axis
    background = _background_of(image, networks, settings)
    options = (settings, sigma, passes_of(networks[0], settings), background, image.stack_model)
    if with_tta_std:
        return Restored(*restore_with_tta_std(networks, image.data, factors, axis, *options), sigma)
    return Restored(restore_volume(networks[0], image.data, factors, axis, *options), None, sigma)


def _background_of(image: Image, networks: Sequence[Generator], settings: Infer) -> Background | None:
    """Return the background that none of the networks need compute."""
    if settings.background_tolerance == 0 or not has_background(image):
        return None
    margins = [needed_margin(network.record, settings.background_tolerance) for network in networks]
    known = [margin for margin in margins if margin is not None]
    return Background(tissue_of(image.data, image.slice_axis), max(known) if len(known) == len(margins) else None)


def noise_model(image: Image) -> str:
    """Return the noise model for the estimate, which does not depend on the zero of the image's intensities."""
    return MAGNITUDE_NOISE if image.is_anatomical else MICROSCOPE_NOISE


def noise_sigma(image: Image, noise: str | PhysicalParameters, settings: Infer) -> float:
    """Return the noise level given to a network: that of the settings, or else an estimate from the image.

    Args:
        image: low-resolution volume.
        noise: name of its noise, a module of pipeline.physics.noise, or the noise's parameters.
        settings: the section `infer`.

    Raises:
        UserError: the slices are too small for an estimate.
    """
    if settings.noise_sigma is not None:
        return settings.noise_sigma
    try:
        estimate = estimate_sigma(image.data, image.slice_axis, noise)
    except UserError as error:
        if not image.id:
            raise
        raise UserError(f"volume {image.id!r}: {error}") from error
    logger.info("estimated noise: %.4f of the range (%s)", estimate.sigma, estimate.method)
    return estimate.sigma


def check_restored(network: Generator, image: LowResolutionImage, found: Restored, *, force: bool) -> None:
    """Compare a restored volume with its measurement, and the measurement with the training data of the network.

    Args:
        network: that restored it.
        image: the low-resolution volume.
        found: the restored volume.
        force: log a warning instead of an error where the restored volume disagrees with its measurement.

    Raises:
        UserError: the restored volume disagrees with its measurement.
    """
    limited(image.data).log(image.id)
    for sentence in outside_domain(network.record.domain, found.sigma, enlarged_voxels(image)):
        logger.warning("%s: %s", image.id, sentence)
    model = replace(image.forward_model, noise_sigma=found.sigma)
    agreement = agreement_with_measurement(found.restored, image.data, model)
    check_agreement(image.id, agreement, force=force)
