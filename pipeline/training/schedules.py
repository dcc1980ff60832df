"""Schedules of the learning rates and of the adversarial weight."""

from __future__ import annotations

import math

from pipeline.config.recipe import Adversarial, Recipe

FINAL_RATE = 0.01
"""Final learning rate, as a fraction of its maximum."""


def learning_rate_factor(step: int, recipe: Recipe) -> float:
    """Return the learning rate at a step, as a fraction of its maximum: linear warm-up, then cosine decay.

    Steps are counted from 0.
    """
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * progress)) / 2


def group_learning_rate_factor(step: int, group: str, recipe: Recipe) -> float:
    """Return the learning rate of a group of layers (upsampler or trunk) at a step, as a fraction of its maximum."""
    if group == "upsampler":
        return learning_rate_factor(step, recipe)
    frozen = step < recipe.unfreeze.trunk_from * recipe.steps
    return 0.0 if frozen else recipe.unfreeze.trunk_rate * learning_rate_factor(step, recipe)


def adversarial_weight_at(step: int, adversarial: Adversarial, recipe: Recipe) -> float:
    """Return the weight of the generator's adversarial loss at a step: a linear ramp, then constant."""
    ramp = adversarial.ramp * recipe.steps
    return adversarial.weight * min(1.0, (step + 1) / ramp) if ramp >= 1 else adversarial.weight
