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
        given: inputs of the network: low-resolution patches with noise, with their neighbouring slices, shape (batch,
            channels depth, y, x), normalised intensities; the noise level of each patch, shape (batch,), as a fraction
            of the normalised range; and for networks of any ratio spacing and thickness of the slices in pixels, shape
            (batch, 2).
        reference: high-resolution patches, shape (batch, channels, factor y, factor x); the factors may differ.
        operator: the linear part of the forward model for patches of this size: it maps (batch, channels, factor y,
            factor x) to (batch, channels, y, x) and is differentiable.
        averaged: returns the estimate of the network with averaged weights, without a gradient.
        perceptual: distance between images in the features of a VGG; None if no loss term uses it.
        teacher: returns the estimate of the teacher, without a gradient; None if the recipe has no teacher.
    """

    given: tuple[Tensor, ...]
    reference: Tensor
    operator: Callable[[Tensor], Tensor]
    averaged: Callable[[], Tensor]
    perceptual: PerceptualDistance | None = None
    teacher: Callable[[], Tensor] | None = None
