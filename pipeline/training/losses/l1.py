"""Mean absolute difference, the pixel loss of ESRGAN's first stage."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def loss(estimate: Tensor, truth: Tensor) -> Tensor:
    """Returns the mean absolute difference of two (batch, channel, y, x) tensors."""
    return functional.l1_loss(estimate, truth)
