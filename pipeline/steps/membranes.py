"""Segment the neurons of restored electron micrographs and references, and compare with a segmentation by people.

See pipeline/fidelity/membranes.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline import plugins
from pipeline.config.sections import REFERENCE, Evaluate
from pipeline.errors import UserError, about
from pipeline.fidelity.membranes import membrane_agreement, neuron_rows, parts, segment, train_forest
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, read_prediction
from pipeline.formats.io.segmentation import read_labels
from pipeline.image.image import Image
from pipeline.steps._framework import section
from pipeline.steps._shards import files_of
from pipeline.tables.membrane_agreement import MEMBRANE_AGREEMENT
from pipeline.tables.membranes import MEMBRANES, NeuronSegmentation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors)."""
    neurons: list[Path]
    """Segmentation of the neurons of every volume, in any format of images."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    rows: Path
    """One row per volume, method and block (.csv)."""
    output: Path
    """One row per split and method (.csv)."""
    seed: int = 0
    """Seed of the classifier."""
    settings: Annotated[Evaluate, section(Evaluate)] = field(default_factory=Evaluate)
    """Section `evaluate` of the configuration."""


def run(options: Options) -> None:
    """Write both tables.

    Raises:
        UserError: a file cannot be read, or a volume is too small.
    """
    if len(options.hr) != len(options.neurons):
        raise UserError("--hr and --neurons require the same number of files, in the same order.")
    rows: list[NeuronSegmentation] = []
    for path, labels in zip(options.hr, options.neurons, strict=True):
        reference = read_image(path)
        with about(f"volume {reference.id!r}"):
            predictions = by_method(files_of(reference.id, options.predictions))
            rows.extend(_rows(reference, read_labels(labels, reference), predictions, options.seed))
    MEMBRANES.write(options.rows, rows)
    agreement = membrane_agreement(rows, plugins.names("pipeline.baselines"), options.settings.confidence)
    MEMBRANE_AGREEMENT.write(options.output, agreement)


def _rows(
    reference: Image, neurons: NDArray[np.integer], predictions: list[Path], seed: int
) -> Iterator[NeuronSegmentation]:
    """Yield the rows of one volume, the reference first."""
    taught, evaluated = parts(reference.data.shape, reference.slice_axis)
    forest = train_forest(reference.data[taught], neurons[taught], seed)
    people = neurons[evaluated]
    yield from neuron_rows(reference, REFERENCE, people, segment(forest, reference.data[evaluated]))
    for path in tqdm(predictions, unit="method", disable=None):
        restored = read_prediction(path, reference)[evaluated]
        yield from neuron_rows(reference, method_of(path), people, segment(forest, restored))
