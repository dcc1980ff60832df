"""What tests of the training share: a synthetic volume, a tiny network, and a trainer made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import plugins
from pipeline.config.recipe import Recipe
from pipeline.config.sections import Sentinel, Train
from pipeline.image.image import Image
from pipeline.models.generator import Generator, Shape
from pipeline.physics.excerpts import Excerpt, excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.training.checkpoint import CheckpointFolder
from pipeline.training.fabric import start_engine
from pipeline.training.patches import Patches, PatchSampler, TrainingVolume
from pipeline.training.perceptual import PerceptualDistance
from pipeline.training.trainer import Networks, Trainer, ValidationResult
from pipeline.training.validation import validate
from tests.helpers import described, synthetic_head

TINY = {"blocks": 1, "features": 8, "growth": 4}
SHAPE = (40, 44, 36)
ADVERSARIAL = {"loss": "standard", "weight": 5e-3, "discriminator": "unet_sn", "features": 4, "learning_rate": 1e-3}


def tiny_generator(seed: int = 0, **changes: Any) -> Generator:
    """Return a network of one block with random weights that depend on the seed alone."""
    torch.manual_seed(seed)
    return Generator(Shape.from_json({**TINY, "noise_map": True, **changes}))


def any_ratio_generator(seed: int = 0) -> Generator:
    """Return a small network of any ratio with random weights."""
    shape = Shape("fast_edsr", blocks=1, features=8).for_any_ratio()
    torch.manual_seed(seed)
    return Generator(shape)


def tiny_recipe(**changes: Any) -> Recipe:
    """Return a recipe of a few steps of two patches of 8 x 8 voxels; a changed key replaces the whole value."""
    small = {"steps": 12, "batch_size": 2, "patch_lr": 8, "warmup_steps": 2, "learning_rate": 1e-3}
    return Recipe.model_validate({**small, **changes})


def tiny_settings(sentinel: dict[str, Any] | None = None, **changes: Any) -> Train:
    """Return settings that validate and record often."""
    often = {"validate_every": 6, "record_every": 3, "checkpoint_every": 1000, "threads": 1}
    return Train.model_validate({**often, **changes, "sentinel": Sentinel.model_validate(sentinel or {})})


def training_volume(
    sigma: float = 0.0, slice_axis: int = 2, shape: tuple[int, int, int] = SHAPE, factor: int = 4
) -> TrainingVolume:
    """Return a synthetic head to draw patches from."""
    data = synthetic_head(shape) / np.float32(1000)
    factors = tuple(1 if axis == slice_axis else factor for axis in range(3))
    model = ForwardModel(factors, shape, "rician", sigma, seed=1)
    mask = data > 0.1
    slices = tuple(int(index) for index in np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {slice_axis}))))
    return TrainingVolume(data, mask, slice_axis, slices, model)


def small_excerpt(noise: str = "rician", sigma: float = 0.02, seed: int = 4, most: int = 2) -> Excerpt:
    """Return some slices of another synthetic head and their measurement."""
    data = synthetic_head(SHAPE, seed=seed) / np.float32(1000)
    mask = data > 0.1
    facts = {"slice_axis": 2, "foreground_slices": list(range(6, 30))}
    reference = described(Image(data, np.eye(4), masks={"foreground": mask}), **facts)
    model = ForwardModel((4, 4, 1), SHAPE, noise, sigma, seed=9)
    lr = LowResolutionImage(model.simulate(data), np.eye(4), forward_model=model)
    return excerpt(reference, lr, most)


def make_trainer(
    folder: Path,
    recipe: Recipe,
    settings: Train | None = None,
    *,
    generator: Generator | None = None,
    sampler: Any = None,
    validation: Callable[[Generator], ValidationResult] | None = None,
    perceptual: PerceptualDistance | None = None,
    teacher: Generator | None = None,
    device: str = "cpu",
) -> Trainer:
    """Return a trainer with checkpoints in `folder`."""
    settings = settings or tiny_settings()
    generator = generator or tiny_generator(noise_map=recipe.noise_map)
    excerpts = [small_excerpt()]
    torch.manual_seed(1)
    discriminator = None
    if recipe.adversarial:
        build = plugins.load("pipeline.models.discriminators", recipe.adversarial.discriminator).build
        discriminator = build(1, 4 * recipe.patch_lr, recipe.adversarial.features)
    return Trainer(
        Networks(generator, discriminator, perceptual, teacher),
        sampler or PatchSampler([training_volume()], recipe, seed=5),
        recipe,
        settings,
        CheckpointFolder(folder, "key"),
        validation or (lambda network: validate(network, excerpts)),
        start_engine(device, settings.precision),
    )


class ChangedSampler:
    """Sampler that modifies the batches of another one: `change(step, patches)` returns the patches of a step."""

    def __init__(self, sampler: PatchSampler, change: Callable[[int, Patches], Patches]) -> None:
        self._sampler, self._change = sampler, change

    def batch(self, step: int, part: slice = slice(None)) -> Patches:
        """Return the changed batch of a step."""
        return self._change(step, self._sampler.batch(step, part))
