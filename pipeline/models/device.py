"""Devices, threads and memory of networks."""

from __future__ import annotations

import ctypes
import logging
import platform

import torch

from pipeline.errors import UserError

logger = logging.getLogger(__name__)

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's allocator (mallopt(3)): free memory at the end of the
heap beyond the first is returned to the system, and blocks larger than the second are mapped and unmapped singly."""


def choose_device(requested: str) -> torch.device:
    """Return and log the device for `auto`, `cpu` or `cuda`.

    Raises:
        UserError: cuda was requested and is not available.
    """
    if requested == "cuda" and not torch.cuda.is_available():
        reason = "this torch was built without CUDA" if torch.version.cuda is None else "no GPU is available"
        raise UserError(
            f"resources.device: cuda was requested, but {reason} (torch {torch.__version__}). Use auto or cpu."
        )
    # By default, GPUs round the factors of float32 convolutions to 10 bits (TF32), which visibly changes voxels.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    name = "cuda" if requested != "cpu" and torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    logger.info("device: %s", device_name(device))
    return device


def device_name(device: torch.device) -> str:
    """Return the type of a device and, for GPUs, its name."""
    return f"{device.type} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def use_threads(count: int) -> None:
    """Set the number of threads, on which the order of summation and thus the last digits depend."""
    torch.set_num_threads(count)
    # As use_deterministic_algorithms(True, warn_only=True), but without importing the compiler, which takes seconds.
    torch.set_deterministic_debug_mode("warn")
    # Filling uninitialised memory takes time, and nothing reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def keep_freed_memory() -> None:
    """Keep freed memory in this process for reuse; no effect where the C library is not glibc.

    Every training step frees and allocates hundreds of megabytes. Memory that is returned to the system in between must
    be cleared and mapped page by page, which took a tenth of the time of a step.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        most = 2 ** (8 * ctypes.sizeof(ctypes.c_int) - 1) - 1
        library.mallopt(MMAP_THRESHOLD, most)
        library.mallopt(TRIM_THRESHOLD, most)
