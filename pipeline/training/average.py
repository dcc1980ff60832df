"""Exponential moving average (EMA) of the weights over the steps, which is the result of a training."""

from __future__ import annotations

import copy

import torch
from torch import nn


class MovingAverage:
    """Exponential moving average of the weights of a network.

    Attributes:
        network: copy of the network with averaged weights, in evaluation mode.

    Args:
        network: the network that is trained.
        decay: weight of the previous average at every step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Update the average after a step (counted from 0); buffers are copied."""
        # The decay is smaller during the first steps, so that the initial weights are forgotten quickly.
        decay = min(self._decay, (1 + step) / (10 + step))
        # The copy has the same layers in the same order, so that names need not be compared.
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for kept, current in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(current)
