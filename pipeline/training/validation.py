"""Validation during training, on a few slices of the validation volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pipeline.errors import about
from pipeline.formats.io.container import read_image
from pipeline.image.stack import upright
from pipeline.inference.volume import DURING_TRAINING, restore_excerpt, restore_volume
from pipeline.models.generator import Generator
from pipeline.physics.excerpts import Excerpt, excerpt
from pipeline.physics.grid import crop_to
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.training.dial import METRICS
from pipeline.training.trainer import Look

VALIDATION_SLICES = 4
"""Evenly spaced slices per validation volume: enough to watch progress by."""
EXCERPT_SIDE = 96
"""Most voxels along the sides of the excerpts that show the progress."""
DARKER = 0.9
"""Share of its intensities that the input keeps when the sentinel asks whether the output follows."""


def validation_excerpt(hr: Path, lr: Path) -> Excerpt:
    """Read the slices of a validation volume on which progress is measured."""
    with about(f"validation volume {hr}"):
        return excerpt(read_image(hr), read_image(lr, LowResolutionImage), VALIDATION_SLICES)


def look_at(network: Generator, excerpts: Sequence[Excerpt]) -> Look:
    """Look at a network's results on validation slices."""
    results = [restore_excerpt(network, one) for one in excerpts]
    measured = [one.mean_over_slices(result, METRICS) for one, result in zip(excerpts, results, strict=True)]
    values = {name: float(np.mean([each[name] for each in measured])) for name in METRICS}
    shown = [middle_of(result, one) for one, result in zip(excerpts, results, strict=True)]
    return Look(values, _diversity(network, excerpts[0], results[0]), torch.from_numpy(stack_common_part(shown)))


def _diversity(network: Generator, one: Excerpt, result: np.ndarray) -> float:
    """How much the first slice of a result, or a whole block, changes when the input grows darker, per its change."""
    count, axis = one.measured_slices, one.slice_axis
    first = np.take(one.measured, range(count), axis)
    before = np.take(result, range(count * one.model.factors[axis]), axis)
    sigma = one.model.noise_sigma
    darker = restore_volume(network, DARKER * first, one.model.factors, axis, DURING_TRAINING, sigma)
    change, given = (float(np.sqrt(np.mean(array**2))) for array in (darker - before, (1 - DARKER) * first))
    return change / given if given else 0.0


def middle_of(volume: np.ndarray, one: Excerpt) -> np.ndarray:
    """The middle of the middle slice of what lies on the reference's grid, as rows and columns, as it is drawn."""
    axis = one.slice_axis
    image = upright(np.take(crop_to(volume, one.reference.data.shape), volume.shape[axis] // 2, axis))
    starts = [max(0, (size - EXCERPT_SIDE) // 2) for size in image.shape]
    return np.array(image[tuple(slice(start, start + EXCERPT_SIDE) for start in starts)], dtype=np.float32)


def middle_of_input(one: Excerpt) -> np.ndarray:
    """The middle of the measured slice, enlarged by repetition so that it shows the same place as the reference's."""
    enlarged = one.measured
    for axis, factor in enumerate(one.model.factors):
        enlarged = np.repeat(enlarged, factor, axis)
    return middle_of(enlarged, one)


def stack_common_part(images: Sequence[np.ndarray]) -> np.ndarray:
    """Stack images of different sizes by their common part."""
    rows, columns = (min(image.shape[axis] for image in images) for axis in (0, 1))
    return np.ascontiguousarray(np.stack([image[:rows, :columns] for image in images]))
