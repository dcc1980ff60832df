"""Inputs of the loss terms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from pipeline.training.perceptual import PerceptualDistance


@dataclass(frozen=True)
class LossInputs:
    """A batch of training patches, and the functions that loss terms use.

    Attributes:
        measured: low-resolution patches with noise, shape (batch, channels, y, x), normalised intensities.
        reference: high-resolution patches, shape (batch, channels, factor y, factor x); the factors may differ.
        sigma: standard deviation of the noise in each patch, shape (batch,), a fraction of the normalised range.
        operator: the linear part of the forward model for patches of this size: it maps (batch, channels, factor y,
            factor x) to (batch, channels, y, x) and is differentiable.
        averaged: returns the estimate of the network with averaged weights, without a gradient.
        perceptual: distance between images in the features of a VGG; None if no loss term uses it.
        teacher: returns the estimate of the teacher, without a gradient; None if the recipe has no teacher.
        slices: spacing and thickness of the slices of each patch in pixels, shape (batch, 2), for networks of any
            ratio; else None.
    """

    measured: Tensor
    reference: Tensor
    sigma: Tensor
    operator: Callable[[Tensor], Tensor]
    averaged: Callable[[], Tensor]
    perceptual: PerceptualDistance | None = None
    teacher: Callable[[], Tensor] | None = None
    slices: Tensor | None = None
