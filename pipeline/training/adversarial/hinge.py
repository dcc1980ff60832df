"""Hinge loss (Lim and Ye, 2017, arXiv:1705.02894): zero for logits beyond a margin of 1 on the correct side."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return mean max(0, 1 - real) + mean max(0, 1 + fake)."""
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return -mean fake; `real` is ignored."""
    return -fake.mean()
