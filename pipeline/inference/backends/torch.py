"""PyTorch, on CPUs and GPUs: the reference backend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.inference.backends._compute import FULL_PRECISION, Compute
from pipeline.inference.memory import device_of

CPU_BATCH = 1
"""Slices per forward pass on a CPU; larger batches are no faster and need more memory."""


def usable(network: nn.Module) -> bool:
    """Return True: PyTorch computes every network."""
    del network
    return True


def prepare(network: nn.Module, settings: Infer) -> Compute:
    """Return the forward pass of the network; its weights are converted to the channels-last memory format.

    Raises:
        UserError: the network cannot be compiled on this machine; raised when the first slices are computed.
    """
    device = device_of(network)
    # The memory format of a one-channel image is ambiguous, so that the format of the weights is used.
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    lower = torch.autocast(
        device.type, getattr(torch, settings.precision), enabled=settings.precision != FULL_PRECISION
    )
    forward = _compiled(network) if settings.compile else network

    def restore(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        batch = torch.from_numpy(images).to(device)
        parts = batch.split(len(batch) if device.type == "cuda" else CPU_BATCH)
        with torch.inference_mode(), lower:
            restored = [forward(part, torch.full((len(part),), sigma, device=device)) for part in parts]
        return torch.cat(restored).float().cpu().numpy()[:, 0]

    return restore


def _compiled(network: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    from torch._dynamo.exc import TorchDynamoException  # importing it takes more than a second

    torch.use_deterministic_algorithms(True, warn_only=True)  # now for the compiler as well
    compiled = torch.compile(network)

    def forward(images: Tensor, sigma: Tensor) -> Tensor:
        try:
            return compiled(images, sigma)
        except TorchDynamoException as error:
            raise UserError(
                f"torch cannot compile networks here ({str(error).splitlines()[0]}). Set infer.compile: false."
            ) from error

    return forward
