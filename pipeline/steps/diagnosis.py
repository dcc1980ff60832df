"""Ask a classifier, trained on the true pictures of split train, whether restored pictures keep their class.

Classes are the folders that the pictures of a collection came in. Without such folders there are no classes, and the
table stays empty.
"""

from __future__ import annotations

import logging

from tqdm import tqdm

from pipeline import plugins
from pipeline.config.load import read_section
from pipeline.config.sections import REFERENCE, Evaluate
from pipeline.fidelity.diagnosis import (
    Diagnoses,
    diagnose,
    diagnosis_table,
    joined,
    learn,
)
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, of_volume
from pipeline.models.device import use_threads
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings, show_progress
from pipeline.tables.diagnosis import DIAGNOSIS

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(
        parser, "--train", "extracted stacks of pictures that the classifier learns from (.safetensors)", many=True
    )
    add_path(parser, "--hr", "extracted stacks of pictures that were restored (.safetensors)", many=True)
    add_path(parser, "--predictions", "their restorations, each in a folder named after its method", many=True)
    add_path(parser, "--output", "one row a split and method (.csv)")
    parser.add_argument("--seed", type=int, default=0, help="of the classifier and of the bootstrap")
    parser.add_argument("--threads", type=int, default=2, help="of the computation (default: %(default)s)")
    add_settings(parser, Evaluate)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = read_section(Evaluate, arguments.settings)
    use_threads(arguments.threads)
    classes, network = learn(map(read_image, arguments.train), arguments.seed)
    parts: dict[str, list[Diagnoses]] = {}
    for path in tqdm(arguments.hr if network else [], unit="stack", disable=not show_progress()):
        assert network is not None
        reference = read_image(path)
        own = by_method(of_volume(arguments.predictions, reference.id))
        said = diagnose(reference, {method_of(one): one for one in own}, classes, network)
        if said.labels.size:
            parts.setdefault(reference.identity.split, []).append(said)
    table = diagnosis_table(
        {split: joined(several) for split, several in parts.items()},
        plugins.names("pipeline.baselines"),
        samples=settings.bootstrap_samples,
        confidence=settings.confidence,
        seed=arguments.seed,
    )
    DIAGNOSIS.write(arguments.output, table)
    if table.empty:
        logger.info("no two classes of pictures to learn: the table stays empty")
    for split, several in parts.items():
        right = 100 * joined(several).accuracy(REFERENCE)
        logger.info("split %s: the class of %.1f %% of the true pictures is found", split, right)
