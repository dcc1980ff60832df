"""Averaged weights: an exponential moving average over the steps, which is what a training keeps in the end."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


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
        """Moves toward `network` after the step numbered `step` (from 0); what is no weight is taken over."""
        # Early on the average follows closely, so that it does not drag the initial weights along.
        decay = min(self._decay, (1 + step) / (10 + step))
        current: Mapping[str, Tensor] = dict(network.named_parameters())
        for name, kept in self.network.named_parameters():
            kept.lerp_(current[name], 1 - decay)
        buffers = dict(network.named_buffers())
        for name, kept in self.network.named_buffers():
            kept.copy_(buffers[name])
