"""Charbonnier penalty: the absolute difference, but smooth near zero.

Charbonnier, Blanc-Feraud, Aubert and Barlaud, ICIP 1994; for super-resolution Lai, Huang, Ahuja and Yang, CVPR 2017.
"""

from __future__ import annotations

from torch import Tensor

from pipeline.training.loss_inputs import LossInputs

EPSILON = 1e-3
"""Difference below which the penalty is nearly quadratic (Lai et al. 2017), as a fraction of the normalised range."""


def loss(estimate: Tensor, inputs: LossInputs) -> Tensor:
    """Return the mean of sqrt(difference ** 2 + EPSILON ** 2) over the estimate (batch, channels, y, x)."""
    return ((estimate - inputs.reference).square() + EPSILON**2).sqrt().mean()
