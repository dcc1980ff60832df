"""How many slices a device restores at a time."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.models.generator import Generator

SHARE = 0.5
"""Of the memory that is free, what the values between the layers may take."""
MOST = 32
"""Slices at a time; more make no GPU faster."""
FLOAT_BYTES = 4


def device_of(network: nn.Module) -> torch.device:
    """Returns where a network's weights are."""
    return next(network.parameters()).device


def slices_at_once(network: Generator, voxels: int) -> int:
    """Returns how many slices go through a network in one pass.

    One on a processor, which larger passes do not make faster; on a GPU as many as its free memory holds.

    Args:
        network: on the device in question.
        voxels: of a low-resolution slice, or of a tile of it.
    """
    device = device_of(network)
    if device.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(MOST, int(SHARE * free) // (voxels * bytes_per_voxel(network))))


def bytes_per_voxel(network: Generator) -> int:
    """Returns about how much memory a pass takes for each low-resolution voxel, in bytes.

    Three images of all features at the fine grid stand beside each other in the last layers, and about eight times the
    features at the coarse one within a dense block.
    """
    rows, columns = network.factors
    return FLOAT_BYTES * network.shape.features * (3 * rows * columns + 8)
