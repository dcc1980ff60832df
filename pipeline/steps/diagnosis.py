"""Ask a classifier, trained on the true pictures of split train, whether restored pictures keep their class.

Classes are the folders that the pictures of a collection came in. Without such folders there are no classes, and the
table stays empty.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn
from tqdm import tqdm

from pipeline import plugins
from pipeline.config.load import read_section
from pipeline.config.sections import REFERENCE, Evaluate
from pipeline.fidelity.classifier import predict, train_classifier
from pipeline.fidelity.diagnosis import (
    Diagnoses,
    class_numbers,
    classes_of,
    diagnosis_table,
    joined,
    learnable,
    pictures_of,
)
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, of_volume, read_prediction
from pipeline.image.image import Image
from pipeline.models.device import use_threads
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings, show_progress
from pipeline.tables.diagnosis import DIAGNOSIS

logger = logging.getLogger(__name__)


def learn(references: Sequence[Path], seed: int) -> tuple[list[str], nn.Module | None]:
    """Train the classifier on the pictures of stacks.

    Args:
        references: extracted stacks of pictures.
        seed: see `train_classifier`.

    Returns:
        The names of the classes, and the network; none where there are no classes to learn.
    """
    images = [read_image(path) for path in references]
    names = [name for image in images for name in classes_of(image)]
    classes = learnable(names)
    if not classes:
        return [], None
    labels = class_numbers(names, classes)
    pictures = np.concatenate([pictures_of(image, image.data) for image in images])
    logger.info("learning from %d pictures of %s", np.count_nonzero(labels >= 0), ", ".join(classes))
    return classes, train_classifier(pictures[labels >= 0], labels[labels >= 0], seed)


def diagnose(reference: Image, predictions: Sequence[Path], classes: Sequence[str], network: nn.Module) -> Diagnoses:
    """Return what the classifier says of a stack and of all its restorations.

    Args:
        reference: extracted stack of pictures.
        predictions: restorations of it, one a method.
        classes: names of the classes.
        network: the classifier.
    """
    labels = class_numbers(classes_of(reference), classes)
    known = labels >= 0  # a class that training never saw cannot be found again
    found = {REFERENCE: predict(network, pictures_of(reference, reference.data)[known])}
    for path in by_method(predictions):
        found[method_of(path)] = predict(network, pictures_of(reference, read_prediction(path, reference))[known])
    return Diagnoses(labels[known], found)


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
    classes, network = learn(arguments.train, arguments.seed)
    parts: dict[str, list[Diagnoses]] = {}
    for path in tqdm(arguments.hr if network else [], unit="stack", disable=not show_progress()):
        assert network is not None
        reference = read_image(path)
        said = diagnose(reference, of_volume(arguments.predictions, reference.id), classes, network)
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
