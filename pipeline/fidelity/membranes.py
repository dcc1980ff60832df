"""Neurons in electron micrographs: how well they can be separated by their membranes in a restored volume.

A fixed, simple segmentation, as a user would make it: a random forest (Breiman, Machine Learning 45:5-32, 2001)
classifies voxels as membrane by intensity, edges and texture at several scales, and a watershed grows neurons from the
points that are far from membranes (Beucher and Meyer, in Dougherty, Mathematical Morphology in Image Processing,
433-481, 1993). The forest is trained on one part of a reference and applied to another part of every restored volume
and of the reference itself. It is part of no loss, so that no network can be optimised for it. The segmentation by
people is the ground truth.

Measures: variation of information (Meila, Journal of Multivariate Analysis 98:873-895, 2007), the sum of what divided
neurons and what joined neurons cost, and the adapted Rand error (Arganda-Carreras et al., Frontiers in Neuroanatomy
9:142, 2015). Both are computed in blocks, the units of their intervals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import multiscale_basic_features, peak_local_max
from skimage.metrics import adapted_rand_error, variation_of_information
from skimage.segmentation import find_boundaries, watershed
from sklearn.ensemble import RandomForestClassifier

from pipeline.config.sections import REFERENCE
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.statistics.best_baseline import UNKNOWN, compare_with_best_baseline
from pipeline.statistics.bland_altman import bland_altman
from pipeline.tables.membrane_agreement import MembraneAgreement
from pipeline.tables.membranes import MEMBRANES, NeuronSegmentation

SIGMAS = (1, 4)
"""Smallest and largest scale of the features, in voxels; the scales in between are their doubles."""
TREES = 40
MAX_DEPTH = 12
MIN_LEAF = 10
TRAINING_VOXELS = 60_000
"""Number of voxels, drawn at random, that the forest is trained on."""
MEMBRANE = 0.5
"""Probability from which a voxel counts as membrane where the distances to membranes are computed."""
SMOOTHING = 1.0
"""Standard deviation of the Gaussian filter of these distances, in voxels."""
SEED_DISTANCE = 12
"""Minimum distance between the seeds of the watershed, in voxels; of 8, 12 and 16, the one with the lowest adapted Rand
error within the part for training of the second FIB-SEM cube."""
GAP = 16
"""Number of voxels between the part for training and the evaluated part, in which features of both would mix."""
MAX_SIDE = 192
"""Maximum side of either part, in voxels; the centre of a larger volume is used."""
MAX_BLOCK = 96
"""Maximum side of a block, in voxels."""
MIN_SIDE = 32
"""Minimum side of either part, in voxels."""
CHUNK = 2**18
"""Number of voxels that are classified at once."""

Region = tuple[slice, ...]


def parts(shape: Sequence[int], slice_axis: int) -> tuple[Region, Region]:
    """Return the part of a volume for training the forest, and the part that is evaluated.

    The volume is divided along its first in-plane axis, so that both have all depths.

    Args:
        shape: of the volume.
        slice_axis: axis along which the slices follow each other.

    Raises:
        UserError: the volume is too small.
    """
    divided = 1 if slice_axis == 0 else 0
    middle = shape[divided] // 2
    ends = {0: (0, middle - GAP), 1: (middle, shape[divided])}
    found = []
    for low, high in ends.values():
        limits = [(low, high) if axis == divided else (0, size) for axis, size in enumerate(shape)]
        found.append(tuple(_centre(*one) for one in limits))
    if min(one.stop - one.start for part in found for one in part) < MIN_SIDE:
        raise UserError(
            f"neurons: a volume of {' x '.join(map(str, shape))} voxels is too small to train a classifier on one half "
            f"and test it on the other; each needs {MIN_SIDE} voxels along every axis. Remove the key."
        )
    return found[0], found[1]


def _centre(low: int, high: int) -> slice:
    spare = max(0, high - low - MAX_SIDE)
    return slice(low + spare // 2, high - (spare - spare // 2))


def train_forest(volume: NDArray[np.floating], neurons: NDArray[np.integer], seed: int) -> RandomForestClassifier:
    """Train the classifier of membranes, the boundaries between neurons.

    Args:
        volume: normalised intensities of a reference, shape (x, y, z).
        neurons: label of every voxel, same shape; 0 where unknown, which is left out.
        seed: of the drawn voxels and of the forest.

    Raises:
        UserError: there are no boundaries.
    """
    membranes = find_boundaries(neurons, mode="thick")[neurons > 0]
    if not membranes.any() or membranes.all():
        raise UserError("neurons: the segmentation has no boundaries between neurons in the part for training.")
    known = np.flatnonzero(neurons > 0)
    drawn = np.random.default_rng(seed).choice(known.size, min(TRAINING_VOXELS, known.size), replace=False)
    forest = RandomForestClassifier(
        TREES,
        max_depth=MAX_DEPTH,
        min_samples_leaf=MIN_LEAF,
        class_weight="balanced",
        random_state=seed % 2**32,
        n_jobs=1,
    )
    return forest.fit(_features(volume)[known[drawn]], membranes[drawn])


def segment(forest: RandomForestClassifier, volume: NDArray[np.floating]) -> NDArray[np.int32]:
    """Return the label of the neuron of every voxel, from 1 on.

    Args:
        forest: see `train_forest`.
        volume: normalised intensities, shape (x, y, z).
    """
    features = _features(volume)
    chunks = range(0, len(features), CHUNK)
    found = [np.asarray(forest.predict_proba(features[start : start + CHUNK]))[:, 1] for start in chunks]
    membranes = np.concatenate(found).astype(np.float32).reshape(volume.shape)
    distances = ndimage.gaussian_filter(ndimage.distance_transform_edt(membranes < MEMBRANE), SMOOTHING)
    peaks = peak_local_max(np.asarray(distances), min_distance=SEED_DISTANCE, exclude_border=False)
    seeds = np.zeros(volume.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(membranes, seeds).astype(np.int32)


def _features(volume: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the features of every voxel, shape (voxels, features)."""
    found = multiscale_basic_features(
        np.asarray(volume, dtype=np.float32), sigma_min=SIGMAS[0], sigma_max=SIGMAS[1], channel_axis=None
    )
    return np.asarray(found, dtype=np.float32).reshape(volume.size, -1)


def blocks_of(shape: Sequence[int]) -> Iterator[Region]:
    """Yield blocks of nearly equal size that fill a volume, none with a side above `MAX_BLOCK`."""
    edges = [np.linspace(0, size, math.ceil(size / MAX_BLOCK) + 1).round().astype(int).tolist() for size in shape]
    yield from product(*([slice(*pair) for pair in pairwise(one)] for one in edges))


def neuron_rows(
    reference: Image, method: str, neurons: NDArray[np.integer], found: NDArray[np.integer]
) -> list[NeuronSegmentation]:
    """Compare a segmentation of neurons with that by people, block by block.

    Args:
        reference: extracted volume.
        method: name of the method.
        neurons: labels by people, 0 where unknown; shape (x, y, z).
        found: labels of the same shape.
    """
    whose = (reference.id, reference.identity.subject, reference.identity.split, method)
    rows = []
    for number, block in enumerate(blocks_of(neurons.shape)):
        labels, own = neurons[block], found[block]
        if not labels.any():
            continue
        # The first is H(found | people), the second H(people | found).
        split, merge = variation_of_information(labels, own, ignore_labels=(0,))
        error = adapted_rand_error(labels, own, ignore_labels=(0,))[0]
        rows.append(NeuronSegmentation(*whose, number, float(split), float(merge), float(split + merge), float(error)))
    return rows


def membrane_agreement(
    rows: Sequence[NeuronSegmentation], baselines: Sequence[str], confidence: float
) -> list[MembraneAgreement]:
    """Compute means, intervals over blocks, and paired differences from the best baseline, of every split and method.

    Neighbouring blocks share neurons, so that intervals over the blocks of one volume are narrower than over volumes.

    Args:
        rows: see `neuron_rows`.
        baselines: names of the baselines; the one with the lowest variation of information on the same blocks is
            compared.
        confidence: coverage of the intervals.
    """
    found = []
    table = MEMBRANES.frame(rows)
    for one in compare_with_best_baseline(table, "block", "voi", baselines, confidence, higher_is_better=False):
        voi, error = (bland_altman(one.values[column].to_numpy(), confidence) for column in ("voi", "rand_error"))
        split, merge = (float(one.values[column].mean()) for column in ("voi_split", "voi_merge"))
        # The reference is the ceiling and no method.
        difference = UNKNOWN if one.method == REFERENCE else one.difference
        found.append(
            MembraneAgreement(
                *(one.split, one.method, voi.n, split, merge),
                *(voi.bias, voi.bias_low, voi.bias_high, error.bias, error.bias_low, error.bias_high),
                *(one.baseline, *difference),
            )
        )
    return found
