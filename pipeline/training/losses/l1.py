"""Mean absolute difference, the pixel loss of ESRGAN's first stage."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from pipeline.training.loss_inputs import LossInputs


def loss(estimate: Tensor, inputs: LossInputs) -> Tensor:
    """Return the mean absolute difference of the estimate (batch, channels, y, x) and the reference."""
    return functional.l1_loss(estimate, inputs.reference)
