"""PyTorch, on a processor or a GPU: the reference."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.inference.backends._compute import Compute
from pipeline.inference.memory import device_of

AT_ONCE = 1
"""Slices that a processor takes together; more make it no faster and need more memory."""


def usable(network: nn.Module) -> bool:
    """Always."""
    del network
    return True


def prepare(network: nn.Module, precision: str, threads: int) -> Compute:
    """Returns the network's own pass; its weights are brought into the order of memory that is quickest."""
    del threads  # those of the whole process: pipeline.models.device.use_threads
    device = device_of(network)
    # A single channel has no order of its own, so that the weights' decides.
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    lower = torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32")

    def restore(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        batch = torch.from_numpy(images[:, None]).to(device)
        parts = batch.split(len(batch) if device.type == "cuda" else AT_ONCE)
        with torch.inference_mode(), lower:
            restored = [network(part, torch.full((len(part),), sigma, device=device)) for part in parts]
        return torch.cat(restored).float().cpu().numpy()[:, 0]

    return restore
