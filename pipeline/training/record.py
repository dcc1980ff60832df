"""The record of a trained network: its training data, and measurements on validation slices."""

from __future__ import annotations

from collections.abc import Sequence

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
        domain=training_domain([volume.model for volume in volumes], recipe, contrasts(volumes)),
        consistency_weights=consistency_weights(network, excerpts, recipe),
        background_changes=background_changes(network, excerpts),
        recipe=recipe.model_dump(mode="json"),
    )


def contrasts(volumes: Sequence[TrainingVolume]) -> list[Quantiles]:
    """Return the quantiles of the foreground of every training volume that has one."""
    return [foreground_quantiles(one.data, one.mask) for one in volumes if one.mask.any()]


def training_domain(
    models: Sequence[ForwardModel], recipe: Recipe, quantiles: Sequence[Quantiles] = ()
) -> TrainingDomain:
    """Return the range of noise levels, voxel sizes and contrasts of training volumes.

    Args:
        models: forward models of the volumes.
        recipe: of the training.
        quantiles: quantiles of the foreground of the volumes.
    """
    sigmas = recipe.noise_sigma_range or [model.noise_sigma for model in models]
    sizes = [
        length * factor
        for model in models
        for length, factor in zip(model.spacing_mm or (), model.factors, strict=False)
        if factor > 1
    ]
    largest = ENLARGEMENT[1] if recipe.resampling_augmentation else 1
    known = bool(sizes) and all(model.spacing_mm for model in models)
    return TrainingDomain(
        noise_sigma=(float(min(sigmas)), float(max(sigmas))),
        voxel_mm=(float(min(sizes)), float(max(sizes) * largest)) if known else None,
        foreground_quantiles=tuple((min(values), max(values)) for values in zip(*quantiles, strict=True)),
    )


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
    return tuple(found)
