"""Insert small structures in a volume, restore it with every method, and count how many an observer detects.

See pipeline/fidelity/insertion: the structures lie in a few slices of the reference, which are degraded by the volume's
own forward model with its own noise. Networks receive the noise level of the whole volume, as in the step infer.
"""

from __future__ import annotations

import logging

from pipeline.baselines.tuning.apply import read_tuning
from pipeline.config.load import read_section
from pipeline.config.sections import Infer, Insertion
from pipeline.fidelity.insertion.methods import baseline_methods, network_methods
from pipeline.fidelity.insertion.study import count_detections, list_places, run_study
from pipeline.formats.io.container import read_image
from pipeline.inference.memory import use_memory
from pipeline.inference.restoration import network_on
from pipeline.models.device import choose_device, use_threads
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._cli import ArgumentParser, Namespace, add_memory, add_path, add_settings, add_table
from pipeline.tables.inserted_places import INSERTED_PLACES
from pipeline.tables.inserted_structures import DETECTION_COUNTS

logger = logging.getLogger(__name__)


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
    methods = {**baseline_methods(read_tuning(arguments.tuning)), **network_methods(networks, lr, infer)}
    responses = list(run_study(reference, lr, methods, settings, arguments.seed))
    rows = count_detections(reference, responses)
    DETECTION_COUNTS.write(arguments.output, rows)
    INSERTED_PLACES.write(arguments.places, list_places(reference, responses))
    count = sum(row.inserted for row in rows if row.method == next(iter(methods)))
    logger.info("%s: %d structures inserted, %d methods", reference.id, count, len(methods))
