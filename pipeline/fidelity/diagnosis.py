"""Do the class of a picture survive its restoration? A classifier that learnt from true pictures is asked.

No training loss ever saw this classifier, so that no network can have learnt to please it. Where it gives a restored
picture another class than the reference of the same picture, the restoration changed what a reader might see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config.sections import REFERENCE
from pipeline.fidelity.classifier import SIDE, resized
from pipeline.image.image import Image
from pipeline.image.stack import one_slice
from pipeline.statistics.bootstrap import Floats, percentile_interval, resampled_means
from pipeline.tables.diagnosis import DIAGNOSIS

FEWEST_PICTURES = 2
"""Of a class that is to be learnt: one to learn from, one to hold out."""


@dataclass(frozen=True)
class Diagnoses:
    """What the classifier said of some pictures.

    Attributes:
        labels: their true classes, shape (n,).
        found: the classes that it gave, by method, `REFERENCE` among them; shape (n,) each.
    """

    labels: NDArray[np.integer]
    found: Mapping[str, NDArray[np.integer]]

    def agrees(self, method: str) -> Floats:
        """Return 1 where a method's picture keeps the class of its reference, else 0; shape (n,)."""
        return (self.found[method] == self.found[REFERENCE]).astype(np.float64)

    def accuracy(self, method: str) -> float:
        """Return the share of a method's pictures that are given their true class."""
        return float(np.mean(self.found[method] == self.labels))


def pictures_of(reference: Image, data: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the pictures of a stack that are measured, as the classifier takes them: shape (n, SIDE, SIDE).

    Of coloured ones it takes the mean of their colours.

    Args:
        reference: extracted stack of pictures.
        data: its intensities, or those of a restoration of it, same shape; what lies outside [0, 1] is clipped.
    """
    sizes = reference.stack.sizes
    colours = [[one_slice(data, index, sizes[index]) for index in picture] for picture in _chosen(reference)]
    pictures = [resized(np.clip(np.mean(one, axis=0), 0, 1)[None]) for one in colours]
    return np.concatenate(pictures) if pictures else np.zeros((0, SIDE, SIDE), dtype=np.float32)


def classes_of(reference: Image) -> list[str]:
    """Return the folder that each of the pictures of `pictures_of` came from."""
    return [reference.stack.classes[picture[0]] for picture in _chosen(reference)]


def _chosen(reference: Image) -> list[list[int]]:
    """The slices of each picture that is measured: one, or three where it is coloured."""
    return reference.stack.by_section(reference.block.foreground_slices)


def learnable(names: Sequence[str]) -> list[str]:
    """Return the classes of pictures that a classifier can learn, sorted; none where there are fewer than two."""
    counts = {name: names.count(name) for name in sorted(set(names))}
    known = [name for name, count in counts.items() if count >= FEWEST_PICTURES]
    return known if len(known) > 1 else []


def diagnosis_table(
    by_split: Mapping[str, Diagnoses], baselines: Sequence[str], *, samples: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Return one row a split and method, see `DiagnosisRow`.

    `agreement` is the share of pictures that keep the class of their reference, `diff` the paired difference to the
    baseline: the baseline that agrees best on split val. Intervals are of a bootstrap over pictures.

    Args:
        by_split: what the classifier said, with a split "val" or without.
        baselines: names of the baselines.
        samples: resamples of the bootstrap.
        confidence: coverage of the intervals.
        seed: root of the random numbers.
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
    """The baseline that agrees best on val, of equals the first by name; none without val or methods."""
    val = by_split.get("val")
    shares = {name: float(val.agrees(name).mean()) for name in sorted(baselines) if val and name in val.found}
    return max(shares, key=lambda name: shares[name], default="")


def _estimate(values: Floats, samples: int, confidence: float, seed: int) -> tuple[float, float, float]:
    """The mean over pictures, and its interval; no interval of one picture."""
    mean = float(values.mean())
    if len(values) == 1:
        return mean, math.nan, math.nan
    pictures = "pictures"
    drawn = resampled_means({pictures: values}, {pictures: pictures}, 1, samples, seed)
    return (mean, *percentile_interval(drawn, confidence))


def joined(parts: Sequence[Diagnoses]) -> Diagnoses:
    """Put the pictures of several stacks together; methods that are not there for all are left out."""
    methods = set.intersection(*(set(part.found) for part in parts))
    found = {method: np.concatenate([part.found[method] for part in parts]) for method in sorted(methods)}
    return Diagnoses(np.concatenate([part.labels for part in parts]), found)


def class_numbers(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of every name among the classes, -1 where it is none of them; shape (n,)."""
    places = {name: number for number, name in enumerate(classes)}
    return np.array([places.get(name, -1) for name in names], dtype=np.int64)
