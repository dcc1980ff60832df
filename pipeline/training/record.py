"""The record of a trained network: its training data, and measurements on validation slices."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.config.recipe import Recipe
from pipeline.image.contrast import Quantiles, foreground_quantiles
from pipeline.inference.volume import restore_excerpt
from pipeline.models.generator import Generator
from pipeline.models.record import ConsistencyWeight, NetworkRecord, TrainingDomain
from pipeline.physics.data_consistency import best_weight
from pipeline.physics.excerpts import Excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.training.augmentation.resampling import ENLARGEMENT
from pipeline.training.background_margin import background_changes
from pipeline.training.patches import TrainingVolume
from pipeline.training.setup import direction
from pipeline.training.synthesis.resolution import zoom_range

logger = logging.getLogger(__name__)

NOISE_LEVELS = 6
"""Number of noise levels at which the data-consistency weight is fitted. They are denser at low noise, where the weight
changes fastest."""


def record_of(
    network: Generator, method: str, volumes: Sequence[TrainingVolume], excerpts: Sequence[Excerpt], recipe: Recipe
) -> NetworkRecord:
    """Return the record of a trained network.

    Args:
        network: in evaluation mode.
        method: name of the method.
        volumes: the training volumes.
        excerpts: slices of the validation volumes.
        recipe: of the training.
    """
    return NetworkRecord(
        method=method,
        direction=direction(volumes),
        self_ensemble=recipe.self_ensemble,
        domain=training_domain(
            _all_ratios([volume.model for volume in volumes if volume.label_map is None], recipe),
            recipe,
            contrasts(volumes),
            _all_ratios(
                [model for volume in volumes if volume.label_map is not None for model in drawn_models(volume)], recipe
            ),
        ),
        consistency_weights=consistency_weights(network, excerpts, recipe),
        background_changes=background_changes(network, excerpts),
        recipe=recipe.model_dump(mode="json"),
    )


def contrasts(volumes: Sequence[TrainingVolume]) -> list[Quantiles]:
    """Return the quantiles of the foreground of every training volume that has one."""
    return [foreground_quantiles(one.data, one.mask) for one in volumes if one.mask.any()]


def training_domain(
    models: Sequence[ForwardModel],
    recipe: Recipe,
    quantiles: Sequence[Quantiles] = (),
    synthetic: Sequence[ForwardModel] = (),
) -> TrainingDomain:
    """Return the range of noise levels, voxel sizes and contrasts of training volumes.

    Args:
        models: forward models of acquired volumes.
        recipe: of the training.
        quantiles: quantiles of the foreground of the volumes.
        synthetic: forward models of images from label maps, with the smallest and the largest voxels that are drawn.
    """
    both = [*models, *synthetic]
    sigmas = recipe.noise_sigma_range or [model.noise_sigma for model in both]
    largest = ENLARGEMENT[1] if recipe.resampling_augmentation else 1
    stored = _lr_voxel_sizes(models)
    sizes = [*stored, *(largest * size for size in stored), *_lr_voxel_sizes(synthetic)]
    known = bool(sizes) and all(model.spacing_mm for model in both)
    return TrainingDomain(
        noise_sigma=(float(min(sigmas)), float(max(sigmas))),
        voxel_mm=(float(min(sizes)), float(max(sizes))) if known else None,
        foreground_quantiles=tuple((min(values), max(values)) for values in zip(*quantiles, strict=True)),
    )


def drawn_models(volume: TrainingVolume) -> list[ForwardModel]:
    """Return the forward model of a label map with the smallest and the largest voxels that are drawn."""
    model, (rows, columns) = volume.model, volume.plane_axes
    if model.spacing_mm is None:
        return [model]
    sizes = model.spacing_mm
    return [
        replace(model, spacing_mm=tuple(zoom * size for size in sizes))
        for zoom in zoom_range((sizes[rows], sizes[columns]))
    ]


def _all_ratios(models: Sequence[ForwardModel], recipe: Recipe) -> list[ForwardModel]:
    """Return the forward models with the smallest and the largest ratio of the training, if it has a range."""
    return [
        replace(model, factors=tuple(ratio if axis == model.slice_axis else 1 for axis in range(3)))
        for model in models
        for ratio in recipe.ratio_range or ()
    ] or [*models]


def _lr_voxel_sizes(models: Sequence[ForwardModel]) -> list[float]:
    """Return the sizes of low-resolution voxels along the axes that were coarsened, in mm."""
    return [
        length * factor
        for model in models
        for length, factor in zip(model.spacing_mm or (), model.factors, strict=False)
        if factor > 1
    ]


def consistency_weights(
    network: Generator, excerpts: Sequence[Excerpt], recipe: Recipe
) -> tuple[ConsistencyWeight, ...]:
    """Fit the weight of the data-consistency step at several noise levels; see `best_weight`."""
    low, high = recipe.noise_sigma_range or (excerpts[0].model.noise_sigma,) * 2
    found = []
    for sigma in np.unique(low + (high - low) * np.linspace(0, 1, NOISE_LEVELS) ** 2):
        noisy = [one.with_noise_level(float(sigma)) for one in excerpts]
        best = [best_weight(restore_excerpt(network, one, recipe.self_ensemble), one) for one in noisy]
        found.append(ConsistencyWeight(float(sigma), float(np.mean(best))))
        logger.info("data-consistency weight at a noise level of %.4f: %.2f", *found[-1])
    return tuple(found)
