"""Agreement of diagnoses: whether a classifier assigns a restored picture the class of its reference.

The classifier is trained on reference pictures and is not part of any training loss, so that no network can be
optimised for it. Where the classes differ, the restoration changed features that may matter to a reader.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from pipeline.config.sections import REFERENCE
from pipeline.fidelity.classifier import SIDE, predict, resized, train_classifier
from pipeline.formats.io.predictions import read_prediction
from pipeline.image.image import Image
from pipeline.image.stack import one_slice
from pipeline.statistics.bootstrap import Floats, percentile_interval, resampled_means
from pipeline.tables.diagnosis import DIAGNOSIS

logger = logging.getLogger(__name__)

MIN_PICTURES = 2
"""Minimum number of pictures of a class: one for training, one for validation."""


@dataclass(frozen=True)
class Diagnoses:
    """Predicted classes of pictures.

    Attributes:
        labels: true classes, shape (n,).
        found: predicted classes by method, including `REFERENCE`; shape (n,) each.
    """

    labels: NDArray[np.integer]
    found: Mapping[str, NDArray[np.integer]]

    def agrees(self, method: str) -> Floats:
        """Return 1 where a method's picture is assigned the class of its reference, else 0; shape (n,)."""
        return (self.found[method] == self.found[REFERENCE]).astype(np.float64)

    def accuracy(self, method: str) -> float:
        """Return the share of a method's pictures that are assigned their true class."""
        return float(np.mean(self.found[method] == self.labels))


def pictures_of(reference: Image, data: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the evaluated pictures of a stack at the input size of the classifier, shape (n, SIDE, SIDE).

    The channels of colour pictures are averaged.

    Args:
        reference: extracted stack of pictures.
        data: its intensities, or those of a restoration, same shape; clipped to [0, 1].
    """
    sizes = reference.stack.sizes
    colours = [
        [one_slice(data, index, sizes[index]) for index in picture] for picture in _evaluated_pictures(reference)
    ]
    pictures = [resized(np.clip(np.mean(one, axis=0), 0, 1)[None]) for one in colours]
    return np.concatenate(pictures) if pictures else np.zeros((0, SIDE, SIDE), dtype=np.float32)


def classes_of(reference: Image) -> list[str]:
    """Return the class (source folder) of each picture of `pictures_of`."""
    return [reference.stack.classes[picture[0]] for picture in _evaluated_pictures(reference)]


def _evaluated_pictures(reference: Image) -> list[list[int]]:
    """Return the slices of each evaluated picture: one, or three for a colour picture."""
    return reference.stack.by_section(reference.block.foreground_slices)


def learn(references: Iterable[Image], seed: int) -> tuple[list[str], nn.Module | None]:
    """Train the classifier on reference pictures.

    Args:
        references: extracted stacks of pictures.
        seed: see `train_classifier`.

    Returns:
        Names of the classes, and the network; None if there are fewer than two classes.
    """
    images = list(references)
    names = [name for image in images for name in classes_of(image)]
    classes = learnable(names)
    if not classes:
        return [], None
    labels = class_numbers(names, classes)
    pictures = np.concatenate([pictures_of(image, image.data) for image in images])
    logger.info("training on %d pictures of %s", np.count_nonzero(labels >= 0), ", ".join(classes))
    return classes, train_classifier(pictures[labels >= 0], labels[labels >= 0], seed)


def diagnose(
    reference: Image, predictions: Mapping[str, Path], classes: Sequence[str], network: nn.Module
) -> Diagnoses:
    """Classify the pictures of a stack and of all its restorations.

    Args:
        reference: extracted stack of pictures.
        predictions: files of its restorations by method.
        classes: names of the classes.
        network: the classifier.

    Raises:
        UserError: a file cannot be read.
    """
    labels = class_numbers(classes_of(reference), classes)
    known = labels >= 0  # other classes cannot be predicted
    found = {REFERENCE: predict(network, pictures_of(reference, reference.data)[known])}
    for method, path in predictions.items():
        found[method] = predict(network, pictures_of(reference, read_prediction(path, reference))[known])
    return Diagnoses(labels[known], found)


def learnable(names: Sequence[str]) -> list[str]:
    """Return the sorted names of the classes with enough pictures; none if there are fewer than two classes."""
    counts = {name: names.count(name) for name in sorted(set(names))}
    known = [name for name, count in counts.items() if count >= MIN_PICTURES]
    return known if len(known) > 1 else []


def diagnosis_table(
    by_split: Mapping[str, Diagnoses], baselines: Sequence[str], *, samples: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Compute one row per split and method, see `DiagnosisRow`.

    Differences are paired, to the baseline with the best agreement on split val. Confidence intervals are from a
    bootstrap over pictures.

    Args:
        by_split: predicted classes by split; "val" is optional.
        baselines: names of the baselines.
        samples: number of bootstrap resamples.
        confidence: coverage of the confidence intervals.
        seed: random seed.
    """
    baseline = _baseline(by_split, baselines)
    rows = []
    for split, diagnoses in sorted(by_split.items()):
        for method in sorted(diagnoses.found):
            agrees = diagnoses.agrees(method)
            mean, low, high = _estimate(agrees, samples, confidence, seed)
            diff: tuple[float, ...] = (math.nan,) * 3
            if baseline and method != REFERENCE:
                diff = _estimate(agrees - diagnoses.agrees(baseline), samples, confidence, seed)
            rows.append((split, method, len(agrees), diagnoses.accuracy(method), mean, low, high, baseline, *diff))
    return pd.DataFrame(rows, columns=pd.Index(DIAGNOSIS.columns))


def _baseline(by_split: Mapping[str, Diagnoses], baselines: Sequence[str]) -> str:
    """Return the baseline with the best agreement on val; empty without val or baselines."""
    val = by_split.get("val")
    shares = {name: float(val.agrees(name).mean()) for name in sorted(baselines) if val and name in val.found}
    return max(shares, key=lambda name: shares[name], default="")


def _estimate(values: Floats, samples: int, confidence: float, seed: int) -> tuple[float, float, float]:
    """Return the mean over pictures and its confidence interval; NaN bounds for a single picture."""
    mean = float(values.mean())
    if len(values) == 1:
        return mean, math.nan, math.nan
    pictures = "pictures"
    drawn = resampled_means({pictures: values}, {pictures: pictures}, 1, samples, seed)
    return (mean, *percentile_interval(drawn, confidence))


def joined(parts: Sequence[Diagnoses]) -> Diagnoses:
    """Concatenate the pictures of several stacks, for the methods that all of them have."""
    methods = set.intersection(*(set(part.found) for part in parts))
    found = {method: np.concatenate([part.found[method] for part in parts]) for method in sorted(methods)}
    return Diagnoses(np.concatenate([part.labels for part in parts]), found)


def class_numbers(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each name among the classes, -1 for other names; shape (n,)."""
    places = {name: number for number, name in enumerate(classes)}
    return np.array([places.get(name, -1) for name in names], dtype=np.int64)
