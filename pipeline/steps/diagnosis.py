"""Ask a classifier, trained on the true pictures of split train, whether restored pictures keep their class.

Classes are the folders that the pictures of a collection came in. Without such folders there are no classes, and the
table stays empty.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from torch import nn
from tqdm import tqdm

from pipeline import plugins
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
from pipeline.formats.io.predictions import read_prediction
from pipeline.image.image import Image
from pipeline.models.device import use_threads
from pipeline.steps._framework import section
from pipeline.steps._shards import files_of
from pipeline.steps.evaluate import by_method, method_of
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


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    train: list[Path]
    """Extracted stacks of pictures that the classifier is trained on (.safetensors)."""
    hr: list[Path]
    """Extracted stacks of pictures that were restored (.safetensors)."""
    predictions: list[Path]
    """Restored stacks, or folders of them; the folders are named after the methods."""
    output: Path
    """One row a split and method (.csv)."""
    seed: int = 0
    """Seed of the classifier and of the bootstrap."""
    threads: int = 2
    """Threads that compute."""
    settings: Annotated[Evaluate, section(Evaluate)] = field(default_factory=Evaluate)
    """Section `evaluate` of the configuration."""


def run(options: Options) -> None:
    """Write the table."""
    settings = options.settings
    use_threads(options.threads)
    classes, network = learn(options.train, options.seed)
    parts: dict[str, list[Diagnoses]] = {}
    for path in tqdm(options.hr if network else [], unit="stack", disable=None):
        assert network is not None
        reference = read_image(path)
        found = diagnose(reference, files_of(reference.id, options.predictions), classes, network)
        if found.labels.size:
            parts.setdefault(reference.identity.split, []).append(found)
    table = diagnosis_table(
        {split: joined(several) for split, several in parts.items()},
        plugins.names("pipeline.baselines"),
        samples=settings.bootstrap_samples,
        confidence=settings.confidence,
        seed=options.seed,
    )
    DIAGNOSIS.write(options.output, table)
    if table.empty:
        logger.info("no two classes of pictures to learn: the table has no rows")
    for split, several in parts.items():
        accuracy = 100 * joined(several).accuracy(REFERENCE)
        logger.info("split %s: accuracy of the classifier on the references: %.1f %%", split, accuracy)
