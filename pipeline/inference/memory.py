"""Memory limits, and the number of slices that are restored together."""

from __future__ import annotations

import psutil
import torch
from torch import nn

from pipeline.models.generator import Generator

ACTIVATION_SHARE = 0.5
"""Fraction of the free memory that the activations may occupy."""
MAX_SLICES = 32
"""Maximum number of slices per batch; larger batches are no faster on a GPU."""
CPU_BATCH_VOXELS = 2**17
"""Low-resolution voxels per batch on a CPU; in smaller batches, threads often wait for the last slice."""
FLOAT_BYTES = 4
MEBIBYTE = 2**20

_allowed: dict[str, int] = {}


def limit_memory(megabytes: int | None) -> None:
    """Set the total memory of this process, such as the limit of a scheduler; None allows all free memory."""
    _allowed.clear()
    if megabytes is not None:
        _allowed["bytes"] = megabytes * MEBIBYTE


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's weights."""
    return next(network.parameters()).device


def slices_per_batch(network: Generator, voxels: int) -> int:
    """Return the number of slices that are restored together.

    On a CPU, there are enough of them to keep all threads busy; on a GPU, as many as fit into its free memory.

    Args:
        network: on its device.
        voxels: number of voxels of a low-resolution slice, or of a tile of it.
    """
    device = device_of(network)
    if device.type != "cuda":
        return max(1, min(MAX_SLICES, CPU_BATCH_VOXELS // voxels))
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(MAX_SLICES, int(ACTIVATION_SHARE * free) // (voxels * bytes_per_voxel(network))))


def concurrent_slices(need: int, threads: int) -> int:
    """Return the number of slices that a CPU computes concurrently.

    Args:
        need: memory for one slice, in bytes.
        threads: maximum number of slices.
    """
    free = _allowed.get("bytes", psutil.virtual_memory().available)
    return max(1, min(threads, int(ACTIVATION_SHARE * free) // need))


def bytes_per_voxel(network: Generator) -> int:
    """Return the approximate memory of a forward pass per low-resolution voxel, in bytes.

    The last layers store three feature maps on the high-resolution grid, and a dense block stores about eight on the
    low-resolution grid.
    """
    rows, columns = network.factors
    return FLOAT_BYTES * network.shape.features * (3 * rows * columns + 8)
