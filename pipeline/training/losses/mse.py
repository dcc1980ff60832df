"""Mean squared difference, the pixel loss of SRGAN's first stage (Ledig et al., CVPR 2017)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from pipeline.training.loss_inputs import LossInputs


def loss(estimate: Tensor, inputs: LossInputs) -> Tensor:
    """Return the mean squared difference of the estimate (batch, channels, y, x) and the reference."""
    return functional.mse_loss(estimate, inputs.reference)
