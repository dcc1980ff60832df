"""How much a device restores at a time."""

from __future__ import annotations

import psutil
import torch
from torch import nn

from pipeline.models.generator import Generator

SHARE = 0.5
"""Of the memory that is free, what the values between the layers may take."""
MOST = 32
"""Slices at a time; more make no GPU faster."""
VOXELS_AT_ONCE = 2**17
"""Of slices that a processor is given together, so that its threads seldom wait for the last one."""
FLOAT_BYTES = 4
MEBIBYTE = 2**20

_allowed: dict[str, int] = {}


def use_memory(megabytes: int | None) -> None:
    """Set the memory that this process may take in all, as a scheduler allows it; None stands for what is free."""
    _allowed.clear()
    if megabytes is not None:
        _allowed["bytes"] = megabytes * MEBIBYTE


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's weights are."""
    return next(network.parameters()).device


def slices_at_once(network: Generator, voxels: int) -> int:
    """Return how many slices are restored together.

    On a processor so many that its threads have enough to do; on a GPU as many as its free memory holds.

    Args:
        network: on the device in question.
        voxels: of a low-resolution slice, or of a tile of it.
    """
    device = device_of(network)
    if device.type != "cuda":
        return max(1, min(MOST, VOXELS_AT_ONCE // voxels))
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(MOST, int(SHARE * free) // (voxels * bytes_per_voxel(network))))


def passes_at_once(need: int, threads: int) -> int:
    """Return how many slices a processor's threads compute side by side, each by itself.

    Args:
        need: memory that one of them takes, in bytes.
        threads: at most so many.
    """
    free = _allowed.get("bytes", psutil.virtual_memory().available)
    return max(1, min(threads, int(SHARE * free) // need))


def bytes_per_voxel(network: Generator) -> int:
    """Return about how much memory a pass takes for each low-resolution voxel, in bytes.

    Three images of all features at the fine grid stand beside each other in the last layers, and about eight times the
    features at the coarse one within a dense block.
    """
    rows, columns = network.factors
    return FLOAT_BYTES * network.shape.features * (3 * rows * columns + 8)
