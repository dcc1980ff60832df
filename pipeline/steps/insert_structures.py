"""Insert small structures in a volume, restores it with every method, and count how many an observer finds.

See pipeline/fidelity/insertion: the structures lie in a few slices of the reference, which are degraded by the volume's
own forward model with its own noise. Networks are told the noise of the whole volume, as the stage infer tells it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from pipeline import plugins
from pipeline.baselines.tuning.apply import BASELINES, read_tuning, upsample
from pipeline.config.load import read_section
from pipeline.config.sections import Infer, Insertion
from pipeline.fidelity.insertion.study import Restore, detections, place_rows, study
from pipeline.formats.io.container import read_image
from pipeline.inference.memory import use_memory
from pipeline.inference.restoration import network_on, noise_sigma, restore
from pipeline.models.device import choose_device, use_threads
from pipeline.models.generator import Generator
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._cli import ArgumentParser, Namespace, add_memory, add_path, add_settings, add_table
from pipeline.tables.inserted_places import INSERTED_PLACES
from pipeline.tables.inserted_structures import DETECTION_COUNTS

logger = logging.getLogger(__name__)


def tuned_baselines(tuned: Mapping[str, Mapping[str, Any]]) -> dict[str, Restore]:
    """Return the baselines by name, with the settings that were tuned for them."""
    return {name: partial(upsample, method=name, tuning=tuned) for name in plugins.names(BASELINES)}


def network_methods(networks: Mapping[str, Generator], lr: LowResolutionImage, settings: Infer) -> dict[str, Restore]:
    """Return networks as methods, which are told the noise of a volume.

    Args:
        networks: by name, on their device, in evaluation mode.
        lr: the low-resolution volume.
        settings: the section `infer`.
    """
    noise = lr.forward_model.noise_settings
    told = settings.model_copy(update={"noise_sigma": noise_sigma(lr, noise, settings)})
    return {name: partial(_restored, network, told) for name, network in networks.items()}


def _restored(network: Generator, settings: Infer, image: LowResolutionImage) -> Any:
    return restore(network, image, settings)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--hr", "extracted volume: the reference (.safetensors)", each_volume=True)
    add_path(parser, "--lr", "its low-resolution volume (.safetensors)", each_volume=True)
    add_path(parser, "--models", "generator.safetensors of networks, in folders named after the methods", many=True)
    add_path(parser, "--tuning", "settings chosen by the stage tune (.json)")
    add_table(parser, "--output", "one row a method, kind, size and contrast (.csv)")
    add_table(parser, "--places", "one row a method, structure and contrast (.csv)")
    parser.add_argument("--infer", default="{}", metavar="JSON|FILE", help="the section infer, as --settings")
    parser.add_argument("--seed", type=int, default=0, help="root of the random numbers behind the places")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    add_memory(parser)
    add_settings(parser, Insertion)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings, infer = read_section(Insertion, arguments.settings), read_section(Infer, arguments.infer)
    use_threads(infer.threads)
    use_memory(arguments.memory_mb)
    device = choose_device(arguments.device)
    reference, lr = read_image(arguments.hr), read_image(arguments.lr, LowResolutionImage)
    networks = {path.resolve().parent.name: network_on(path, device) for path in arguments.models}
    methods = {**tuned_baselines(read_tuning(arguments.tuning)), **network_methods(networks, lr, infer)}
    seen = list(study(reference, lr, methods, settings, arguments.seed))
    rows = detections(reference, seen)
    DETECTION_COUNTS.write(arguments.output, rows)
    INSERTED_PLACES.write(arguments.places, place_rows(reference, seen))
    count = sum(row.inserted for row in rows if row.method == next(iter(methods)))
    logger.info("%s: %d structures inserted, %d methods", reference.id, count, len(methods))
