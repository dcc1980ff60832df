"""Restore a volume with a network and write it like the volume's own file.

With --spread, the standard deviation over the eight flips and transposes is written as well, in one pass: where a
network disagrees with itself (pipeline/fidelity/tta_error_map.py). It is that of the network's own results, before they
are corrected toward the measurement.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config.load import read_section
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import restored_image, write_prediction
from pipeline.image.image import Image
from pipeline.image.intensity_limits import limited
from pipeline.inference.background import Background, has_background, tissue_of
from pipeline.inference.background_margin import margin_of
from pipeline.inference.domain import enlarged_voxels, outside_training
from pipeline.inference.memory import use_memory
from pipeline.inference.result_check import agreement_with_measurement, check_agreement
from pipeline.inference.volume import restore_volume, restore_with_spread, views_of
from pipeline.models.device import choose_device, use_threads
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator
from pipeline.physics.data_consistency import share_at, toward_measurement
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma
from pipeline.physics.parameters import PhysicalParameters
from pipeline.steps._cli import ArgumentParser, Namespace, add_memory, add_path, add_settings

logger = logging.getLogger(__name__)


def infer(
    generator: Path,
    lr: Path,
    settings: Infer,
    device: str,
    output: Path,
    spread: Path | None = None,
    others: Sequence[Path] = (),
) -> Callable[[], None]:
    """Restore the low-resolution volume `lr` with `generator`; return what writes the prediction.

    Args:
        generator: its weights.
        lr: the low-resolution volume.
        settings: the section `infer`.
        device: auto, cpu or cuda.
        output: the prediction.
        spread: where the standard deviation over the views goes, in normalised intensities; None for nowhere.
        others: weights of further networks, whose disagreement counts in the spread.

    Raises:
        UserError: a file cannot be read, the device cannot be used, or the result of the delivered method disagrees
            with the measurement; those of other methods are warned of, and measured.
    """
    use_threads(settings.threads)
    chosen = choose_device(device)
    networks = [network_on(path, chosen) for path in (generator, *others)]
    image = read_image(lr, LowResolutionImage)
    found = restore_measured(networks, image, settings, doubted=spread is not None)
    _check(networks[0], image, found, force=settings.force or output.parent.name != settings.deliver)

    def write() -> None:
        if spread is not None and found.spread is not None:
            write_image(spread, restored_image(image, found.spread))
        saturated = write_prediction(output, image, found.restored)
        logger.info("%s: restored, %d voxels clipped", image.id, saturated)

    return write


@cache
def network_on(path: Path, device: torch.device) -> Generator:
    """Return a network on a device, in evaluation mode; it is read once a process, which may restore many volumes."""
    return load_generator(path).to(device).eval()


def restore(network: Generator, image: LowResolutionImage, settings: Infer) -> NDArray[np.float32]:
    """Restore a low-resolution volume: tells the network its noise, and corrects the result toward the measurement.

    Args:
        network: on its device, in evaluation mode; its facts hold the shares of the correction.
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


def _check(network: Generator, image: LowResolutionImage, found: Restored, *, force: bool) -> None:
    """Compare a result with its measurement, and the measurement with what the network was trained on."""
    name = image.id
    model = image.forward_model
    limited(image.data).log(name)
    for sentence in outside_training(network, found.sigma, enlarged_voxels(image)):
        logger.warning("%s: %s", name, sentence)
    agreement = agreement_with_measurement(found.restored, image.data, replace(model, noise_sigma=found.sigma))
    check_agreement(name, agreement, force=force)


def _corrected(
    network: Generator, restored: NDArray[np.float32], image: Image, model: ForwardModel, settings: Infer
) -> NDArray[np.float32]:
    share = share_at(model.noise_sigma, network.facts.get("shares", [])) if settings.consistency else 0.0
    logger.info("%.0f%% of the difference to the measurement is put back", 100 * share)
    return toward_measurement(restored, image.data, model, share)


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
    told = (settings, sigma, views_of(networks[0]), _background_in(image, networks, settings))
    if doubted:
        return Restored(*restore_with_spread(networks, image.data, factors, axis, *told), sigma)
    return Restored(restore_volume(networks[0], image.data, factors, axis, *told), None, sigma)


def _background_in(image: Image, networks: Sequence[Generator], settings: Infer) -> Background | None:
    """Return what need not be computed of a volume by any of the networks."""
    if settings.background_tolerance == 0 or not has_background(image):
        return None
    margins = [margin_of(network, settings.background_tolerance) for network in networks]
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


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--model", "generator.safetensors of the method")
    add_path(parser, "--lr", "low-resolution volume (.safetensors)", each_volume=True)
    add_path(parser, "--output", "prediction; its suffix is that of the volume's format", each_volume=True)
    text = "where the disagreement over views is written (.safetensors)"
    parser.each_volume(parser.add_argument("--spread", type=Path, nargs="*", default=[], metavar="PATH", help=text))
    text = "generator.safetensors of further networks, whose disagreement counts in the spread"
    parser.add_argument("--others", type=Path, nargs="*", default=[], metavar="PATH", help=text)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    add_memory(parser)
    add_settings(parser, Infer)


def main(arguments: Namespace) -> Callable[[], None]:
    """Run the stage but for its writing, which what it returns does."""
    settings = read_section(Infer, arguments.settings)
    use_memory(arguments.memory_mb)
    spread, others = arguments.spread or None, arguments.others
    return infer(arguments.model, arguments.lr, settings, arguments.device, arguments.output, spread, others)
