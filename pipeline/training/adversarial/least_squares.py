"""Least squares (Mao, Li, Xie, Lau, Wang and Smolley, ICCV 2017), with targets 1 for real and 0 for generated."""

from __future__ import annotations

from torch import Tensor


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return half of mean (real - 1) ** 2 + mean fake ** 2."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return half of mean (fake - 1) ** 2; `real` is ignored."""
    return (fake - 1).square().mean() / 2
