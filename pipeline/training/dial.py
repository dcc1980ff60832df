"""The fidelity dial: weights between the network that a training started from and the one it ended in.

Interpolating weights (Wang et al., ECCV Workshops 2018, section 3.4) goes smoothly from faithful to sharp. The setting
is chosen on validation slices by a declared rule: the lowest perceptual distance among the settings that lose little
PSNR and whose results still agree with the measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from pipeline.training.perceptual import PerceptualDistance

METRICS = {"psnr": psnr.per_slice, "ssim": ssim.per_slice}
"""What is measured on validation slices."""


def between(start: Generator, end: Generator, alpha: float) -> Generator:
    """Return a network with the weights (1 - alpha) * start + alpha * end; both have one shape."""
    first, last = start.state_dict(), end.state_dict()
    mixed = Generator(end.shape)
    mixed.load_state_dict({name: _mixed(first[name].cpu(), last[name].cpu(), alpha) for name in last})
    return mixed.eval()


def _mixed(start: Tensor, end: Tensor, alpha: float) -> Tensor:
    """Weights between two; what only counts, such as a batch normalisation's steps, is taken from the end."""
    return torch.lerp(start, end, alpha) if start.is_floating_point() else end


def try_settings(
    start: Generator, end: Generator, excerpts: Sequence[Excerpt], dial: Dial, perceptual: PerceptualDistance
) -> list[dict[str, Any]]:
    """Measure every setting of the dial, and marks those that may be chosen and the one that is.

    Args:
        start: the network that the training started from.
        end: the trained network.
        excerpts: validation slices.
        dial: the rule.
        perceptual: the distance by which is chosen; it is no evidence of quality where a loss term used it.

    Returns:
        Rows with alpha, psnr (dB), ssim, perceptual, lr_residual and noise_level (fractions of the range), allowed,
        chosen; alpha rises from 0 to 1.
    """
    alphas = [index / dial.steps for index in range(dial.steps + 1)]
    rows = [{"alpha": alpha, **_measured(between(start, end, alpha), excerpts, perceptual)} for alpha in alphas]
    first = rows[0]
    limit = dial.max_residual * max(first["noise_level"], first["lr_residual"])
    for row in rows:
        loses_little = row["psnr"] >= first["psnr"] - dial.max_loss_db
        row["allowed"] = bool(loses_little and row["lr_residual"] <= limit)
    best = min((row for row in rows if row["allowed"]), key=lambda row: row["perceptual"])
    return [{**row, "chosen": row is best} for row in rows]


def _measured(network: Generator, excerpts: Sequence[Excerpt], perceptual: PerceptualDistance) -> dict[str, float]:
    """Means over excerpts; results are corrected toward the measurement, as inference does."""
    return _means([_look_at(network, excerpt, perceptual) for excerpt in excerpts])


def _look_at(network: Generator, excerpt: Excerpt, perceptual: PerceptualDistance) -> dict[str, float]:
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
    """Root mean square of what the reference itself differs from its measurement by."""
    reference = degrade_again(np.asarray(excerpt.reference.data), excerpt.model)
    return float(np.sqrt(np.mean((excerpt.lr - excerpt.model.expected_value(reference)) ** 2)))


def _distance(perceptual: PerceptualDistance, estimate: np.ndarray, excerpt: Excerpt) -> float:
    pairs = zip(*(_slices(array, excerpt.slice_axis) for array in (estimate, excerpt.reference.data)), strict=True)
    with torch.inference_mode():
        return float(np.mean([float(perceptual.distance(one, reference)) for one, reference in pairs]))


def _slices(volume: np.ndarray, axis: int) -> list[Tensor]:
    """The slices as a list of (1, 1, y, x) tensors, clipped to the range that the features know."""
    slices = np.clip(np.moveaxis(volume, axis, 0), 0, 1).astype(np.float32)
    return [torch.from_numpy(np.ascontiguousarray(one))[None, None] for one in slices]


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
