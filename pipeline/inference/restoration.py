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

from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.intensity_limits import limited
from pipeline.inference.background import Background, has_background, needed_margin, tissue_of
from pipeline.inference.domain import enlarged_voxels, outside_domain
from pipeline.inference.result_check import agreement_with_measurement, check_agreement
from pipeline.inference.volume import restore_volume, restore_with_spread
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator
from pipeline.physics.data_consistency import share_at, toward_measurement
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma
from pipeline.physics.parameters import PhysicalParameters

logger = logging.getLogger(__name__)


class Restored(NamedTuple):
    """What a network made of a volume.

    Attributes:
        restored: normalised intensities.
        spread: its disagreement over views, of the same shape, where that was asked for.
        sigma: the noise that the network was told.
    """

    restored: NDArray[np.float32]
    spread: NDArray[np.float32] | None
    sigma: float


@cache
def network_on(path: Path, device: torch.device) -> Generator:
    """Return a network on a device, in evaluation mode; it is read once a process, which may restore many volumes."""
    return load_generator(path).to(device).eval()


def restore(network: Generator, image: LowResolutionImage, settings: Infer) -> NDArray[np.float32]:
    """Restore a low-resolution volume: tells the network its noise, and corrects the result toward the measurement.

    Args:
        network: on its device, in evaluation mode; its record holds the data-consistency weights.
        image: the low-resolution volume.
        settings: the section `infer`.

    Returns:
        Normalised intensities, float32, of shape image.data.shape * factors.
    """
    return restore_measured([network], image, settings).restored


def restore_measured(
    networks: Sequence[Generator], image: LowResolutionImage, settings: Infer, *, doubted: bool = False
) -> Restored:
    """Restore as `restore` does, with the first of the networks.

    Args:
        networks: as in `restore_with_spread`; those beyond the first count in the spread alone.
        image: as in `restore`.
        settings: the section `infer`.
        doubted: whether the spread over views is wanted.
    """
    model = image.forward_model
    # Networks see no intensities beyond their limits; what lies beyond is added at the end.
    within = limited(image.data)
    inside = image.with_data(within.values)
    found = restore_uncorrected(networks, inside, model.noise_settings, settings, doubted=doubted)
    corrected = _corrected(networks[0], found.restored, inside, replace(model, noise_sigma=found.sigma), settings)
    return found._replace(restored=within.added_to(corrected, model.factors))


def check_restored(network: Generator, image: LowResolutionImage, found: Restored, *, force: bool) -> None:
    """Compare a result with its measurement, and the measurement with what the network was trained on."""
    name = image.id
    model = image.forward_model
    limited(image.data).log(name)
    for sentence in outside_domain(network.record.domain, found.sigma, enlarged_voxels(image)):
        logger.warning("%s: %s", name, sentence)
    agreement = agreement_with_measurement(found.restored, image.data, replace(model, noise_sigma=found.sigma))
    check_agreement(name, agreement, force=force)


def _corrected(
    network: Generator, restored: NDArray[np.float32], image: Image, model: ForwardModel, settings: Infer
) -> NDArray[np.float32]:
    share = share_at(model.noise_sigma, network.record.consistency_weights) if settings.consistency else 0.0
    logger.info("%.0f%% of the difference to the measurement is put back", 100 * share)
    return toward_measurement(restored, image.data, model, share)


def restore_uncorrected(
    networks: Sequence[Generator],
    image: LowResolutionImage,
    noise: str | PhysicalParameters,
    settings: Infer,
    *,
    doubted: bool = False,
) -> Restored:
    """Restore a volume whose forward model need not be known, with the first of the networks.

    Args:
        networks: as in `restore_with_spread`; those beyond the first count in the spread alone.
        image: as in `restore`.
        noise: as in `noise_sigma`.
        settings: the section `infer`.
        doubted: whether the spread is wanted.
    """
    sigma = noise_sigma(image, noise, settings)
    factors, axis = image.forward_model.factors, image.slice_axis
    told = (settings, sigma, networks[0].record.self_ensemble, _background_in(image, networks, settings))
    if doubted:
        return Restored(*restore_with_spread(networks, image.data, factors, axis, *told), sigma)
    return Restored(restore_volume(networks[0], image.data, factors, axis, *told), None, sigma)


def _background_in(image: Image, networks: Sequence[Generator], settings: Infer) -> Background | None:
    """Return what need not be computed of a volume by any of the networks."""
    if settings.background_tolerance == 0 or not has_background(image):
        return None
    margins = [needed_margin(network.record, settings.background_tolerance) for network in networks]
    known = [margin for margin in margins if margin is not None]
    return Background(tissue_of(image.data, image.slice_axis), max(known) if len(known) == len(margins) else None)


def noise_sigma(image: Image, noise: str | PhysicalParameters, settings: Infer) -> float:
    """Return the noise that a network is told: what the settings say, or else what the image itself shows.

    Args:
        image: low-resolution volume.
        noise: name of its noise, a module of pipeline.physics.noise, or the noise's parameters.
        settings: the section `infer`.

    Raises:
        UserError: the slices are too small to estimate it; a volume of a run is named.
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
