"""Validation during training, on a few slices of the validation volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pipeline.baselines import nearest
from pipeline.config.recipe import Recipe
from pipeline.errors import about
from pipeline.formats.io.container import read_image
from pipeline.image.stack import upright
from pipeline.inference.volume import restore_excerpt
from pipeline.models.generator import Generator
from pipeline.physics.excerpts import Excerpt, contiguous_excerpt, excerpt
from pipeline.physics.grid import crop_to, padded_size
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.training.dial import METRICS
from pipeline.training.trainer import ValidationResult

VALIDATION_SLICES = 4
"""Evenly spaced slices per validation volume."""
VALIDATION_RATIOS = 3
"""Ratios at which a network of any ratio is validated, from the smallest to the largest of its training."""
EXCERPT_SIDE = 96
"""Maximum side of the saved samples, in voxels."""
DARKENED = 0.9
"""Factor of the input intensities for the test of whether the result depends on the input."""


def validation_excerpts(hr: Path, lr: Path, recipe: Recipe) -> list[Excerpt]:
    """Read the validation slices of a volume; for networks of any ratio, at several ratios."""
    with about(f"validation volume {hr}"):
        given = (read_image(hr), read_image(lr, LowResolutionImage), VALIDATION_SLICES)
        if recipe.ratio_range and recipe.neighbours:
            # The neighbours are in the excerpt itself, since they must have its ratios.
            found = contiguous_excerpt(*given)
        else:
            found = excerpt(*given, recipe.neighbours)
    if recipe.ratio_range is None:
        return [found]
    return [found.with_ratio(float(ratio)) for ratio in np.geomspace(*recipe.ratio_range, VALIDATION_RATIOS)]


def validate(network: Generator, excerpts: Sequence[Excerpt]) -> ValidationResult:
    """Validate a network on excerpts of the validation volumes."""
    results = [restore_excerpt(network, one) for one in excerpts]
    measured = [one.mean_over_slices(result, METRICS) for one, result in zip(excerpts, results, strict=True)]
    values = {name: float(np.mean([each[name] for each in measured])) for name in METRICS}
    shown = [middle_of(result, one) for one, result in zip(excerpts, results, strict=True)]
    return ValidationResult(
        values, _diversity(network, excerpts[0], results[0]), torch.from_numpy(stack_common_part(shown))
    )


def _diversity(network: Generator, one: Excerpt, result: np.ndarray) -> float:
    """Return the change of the first slice of a result, or of a block, relative to a darkening of the input."""
    axis, dark = one.slice_axis, one.first(DARKENED)
    before = np.take(result, range(padded_size(one.min_slices, one.model.factors[axis])), axis)
    darkened = restore_excerpt(network, dark)
    difference = (1 / DARKENED - 1) * dark.lr
    change, given = (float(np.sqrt(np.mean(array**2))) for array in (darkened - before, difference))
    return change / given if given else 0.0


def middle_of(volume: np.ndarray, one: Excerpt) -> np.ndarray:
    """Return the centre of the middle slice of a volume on the grid of the reference, upright."""
    axis = one.slice_axis
    image = upright(np.take(crop_to(volume, one.reference.data.shape), volume.shape[axis] // 2, axis))
    starts = [max(0, (size - EXCERPT_SIDE) // 2) for size in image.shape]
    return np.array(image[tuple(slice(start, start + EXCERPT_SIDE) for start in starts)], dtype=np.float32)


def middle_of_input(one: Excerpt) -> np.ndarray:
    """Return the same part of the low-resolution input, enlarged by repetition."""
    return middle_of(nearest.upsample(one.lr, one.model, {}), one)


def stack_common_part(images: Sequence[np.ndarray]) -> np.ndarray:
    """Stack the common parts of images of different sizes."""
    rows, columns = (min(image.shape[axis] for image in images) for axis in (0, 1))
    return np.ascontiguousarray(np.stack([image[:rows, :columns] for image in images]))
