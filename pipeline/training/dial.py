"""The fidelity dial: interpolation between the weights before and after a training.

Network interpolation (Wang et al., ECCV Workshops 2018, section 3.4) yields a continuous transition from faithful to
sharp results. The setting is chosen on validation slices by a fixed rule: the lowest perceptual distance among the
settings that lose little PSNR and whose results agree with the low-resolution input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipeline.config.recipe import Dial
from pipeline.inference.volume import restore_excerpt
from pipeline.metrics import psnr, ssim
from pipeline.models.generator import Generator
from pipeline.physics.data_consistency import apply_data_consistency, best_weight, degrade_again
from pipeline.physics.excerpts import Excerpt
from pipeline.physics.grid import crop_to
from pipeline.tables.dial import DialSetting
from pipeline.training.perceptual import PerceptualDistance

METRICS = {"psnr": psnr.per_slice, "ssim": ssim.per_slice}
"""Metrics of validation slices."""


def interpolate_weights(start: Generator, end: Generator, alpha: float) -> Generator:
    """Return a network with the weights (1 - alpha) * start + alpha * end; both must have the same shape."""
    first, last = start.state_dict(), end.state_dict()
    mixed = Generator(end.shape)
    # Integer buffers, such as the step counter of a batch normalisation, are taken from the end.
    state = {
        name: torch.lerp(first[name].cpu(), weight.cpu(), alpha) if weight.is_floating_point() else weight
        for name, weight in last.items()
    }
    mixed.load_state_dict(state)
    return mixed.eval()


def evaluate_settings(
    start: Generator, end: Generator, excerpts: Sequence[Excerpt], dial: Dial, perceptual: PerceptualDistance
) -> list[DialSetting]:
    """Evaluate every setting of the dial, and choose one of the allowed settings.

    Args:
        start: the initial network of the training.
        end: the trained network.
        excerpts: validation slices.
        dial: the rule.
        perceptual: the distance that is minimised; it is no evidence of quality if it was a loss term as well.

    Returns:
        The settings, alpha rising from 0 to 1.
    """
    alphas = [index / dial.steps for index in range(dial.steps + 1)]
    measured = [_evaluate(interpolate_weights(start, end, alpha), excerpts, perceptual) for alpha in alphas]
    settings = [
        DialSetting(alpha=alpha, **means, allowed=False, chosen=False)
        for alpha, means in zip(alphas, measured, strict=True)
    ]
    return apply_rule(settings, dial)


def apply_rule(settings: Sequence[DialSetting], dial: Dial) -> list[DialSetting]:
    """Return the settings with those that the rule allows and the chosen one marked; the first is always allowed."""
    first = settings[0]
    limit = dial.max_residual * max(first.noise_level, first.lr_residual)
    checked = [
        replace(one, allowed=one.psnr >= first.psnr - dial.max_loss_db and one.lr_residual <= limit) for one in settings
    ]
    best = min((one for one in checked if one.allowed), key=lambda one: one.perceptual)
    return [replace(one, chosen=one is best) for one in checked]


def _evaluate(network: Generator, excerpts: Sequence[Excerpt], perceptual: PerceptualDistance) -> dict[str, float]:
    """Return means over excerpts, with data consistency as in inference."""
    rows = [_evaluate_excerpt(network, excerpt, perceptual) for excerpt in excerpts]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _evaluate_excerpt(network: Generator, excerpt: Excerpt, perceptual: PerceptualDistance) -> dict[str, float]:
    restored = restore_excerpt(network, excerpt)
    restored = apply_data_consistency(restored, excerpt.lr, excerpt.model, best_weight(restored, excerpt))
    estimate = crop_to(restored, excerpt.reference.data.shape)
    again = excerpt.model.expected_value(degrade_again(restored, excerpt.model))
    return {
        **excerpt.mean_over_slices(estimate, METRICS),
        "perceptual": _distance(perceptual, estimate, excerpt),
        "lr_residual": float(np.sqrt(np.mean((excerpt.lr - again) ** 2))),
        "noise_level": _noise_level(excerpt),
    }


def _noise_level(excerpt: Excerpt) -> float:
    """Return the root-mean-square difference between the degraded reference and the low-resolution input."""
    reference = degrade_again(np.asarray(excerpt.reference.data), excerpt.model)
    return float(np.sqrt(np.mean((excerpt.lr - excerpt.model.expected_value(reference)) ** 2)))


def _distance(perceptual: PerceptualDistance, estimate: np.ndarray, excerpt: Excerpt) -> float:
    pairs = zip(*(_slices(array, excerpt.slice_axis) for array in (estimate, excerpt.reference.data)), strict=True)
    with torch.inference_mode():
        return float(np.mean([float(perceptual.distance(one, reference)) for one, reference in pairs]))


def _slices(volume: np.ndarray, axis: int) -> list[Tensor]:
    """Return the slices as (1, 1, y, x) tensors, clipped to [0, 1]."""
    slices = np.clip(np.moveaxis(volume, axis, 0), 0, 1).astype(np.float32)
    return [torch.from_numpy(np.ascontiguousarray(one))[None, None] for one in slices]
