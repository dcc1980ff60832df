"""Averaged weights: an exponential moving average over the steps, which is what a training keeps in the end."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """Keeps a copy of a network whose weights follow it slowly.

    Args:
        network: the network that learns.
        decay: share of the old average that stays at every step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """Move toward `network` after the step numbered `step` (from 0); what is no weight is taken over."""
        # Early on the average follows closely, so that it does not drag the initial weights along.
        decay = min(self._decay, (1 + step) / (10 + step))
        # The copy has the same layers in the same order, so that no names need be compared.
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for kept, current in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(current)
