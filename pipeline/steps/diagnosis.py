"""Compare the predicted classes of restored pictures and references, by a classifier trained on the split train.

The classes are the folders of the pictures in a collection. Without folders there are no classes, and the table is
empty.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tqdm import tqdm

from pipeline import plugins
from pipeline.config.sections import REFERENCE, Evaluate
from pipeline.fidelity.diagnosis import (
    Diagnoses,
    diagnose,
    diagnosis_table,
    joined,
    learn,
)
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of
from pipeline.models.device import use_threads
from pipeline.steps._framework import section
from pipeline.steps._shards import files_of
from pipeline.tables.diagnosis import DIAGNOSIS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    train: list[Path]
    """Extracted stacks of pictures on which the classifier is trained (.safetensors)."""
    hr: list[Path]
    """Extracted stacks of pictures that were restored (.safetensors)."""
    predictions: list[Path]
    """Restored stacks, or folders of them; the folders are named after the methods."""
    output: Path
    """One row per split and method (.csv)."""
    seed: int = 0
    """Seed of the classifier and of the bootstrap."""
    threads: int = 2
    """Number of threads."""
    settings: Annotated[Evaluate, section(Evaluate)] = field(default_factory=Evaluate)
    """Section `evaluate` of the configuration."""


def run(options: Options) -> None:
    """Write the table."""
    settings = options.settings
    use_threads(options.threads)
    classes, network = learn(map(read_image, options.train), options.seed)
    parts: dict[str, list[Diagnoses]] = {}
    for path in tqdm(options.hr if network else [], unit="stack", disable=None):
        assert network is not None
        reference = read_image(path)
        own = by_method(files_of(reference.id, options.predictions))
        found = diagnose(reference, {method_of(one): one for one in own}, classes, network)
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
        logger.info("fewer than two classes of pictures: the table is empty")
    for split, several in parts.items():
        accuracy = 100 * joined(several).accuracy(REFERENCE)
        logger.info("split %s: accuracy of the classifier on the references: %.1f %%", split, accuracy)
