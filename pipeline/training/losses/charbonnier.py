"""Charbonnier's penalty: like the absolute difference, but smooth where the difference is small.

Charbonnier, Blanc-Feraud, Aubert and Barlaud, ICIP 1994; for super-resolution Lai, Huang, Ahuja and Yang, CVPR 2017.
"""

from __future__ import annotations

from torch import Tensor

from pipeline.training.loss_inputs import LossInputs

EPSILON = 1e-3
"""Differences well below this are penalised by their square (Lai et al. 2017); a fraction of the normalised range."""


def loss(estimate: Tensor, inputs: LossInputs) -> Tensor:
    """Return the mean of sqrt(difference ** 2 + EPSILON ** 2) over the estimate (batch, channels, y, x)."""
    return ((estimate - inputs.reference).square() + EPSILON**2).sqrt().mean()
