"""Distillation: the difference from the estimate of a teacher, a larger network, for the same input.

Hinton, Vinyals and Dean, arXiv:1503.02531; for super-resolution Gao, Zhao, Li and Tong, ACCV 2018,
doi:10.1007/978-3-030-20890-5_34. The output of the teacher lacks the detail that the input does not determine, so that
gradients vary less from batch to batch than with the reference. The gain of this term alone is called marginal by later
work (Zhang et al., arXiv:2309.14162).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from pipeline.training.loss_inputs import LossInputs


def loss(estimate: Tensor, inputs: LossInputs) -> Tensor:
    """Return the mean absolute difference of the estimate (batch, channels, y, x) and that of the teacher.

    Raises:
        ValueError: the inputs have no teacher.
    """
    if inputs.teacher is None:
        raise ValueError("the loss term 'distillation' requires a teacher")
    return functional.l1_loss(estimate, inputs.teacher())
