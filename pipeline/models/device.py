"""Where a network runs."""

from __future__ import annotations

import ctypes
import logging
import platform

import torch

from pipeline.errors import UserError

logger = logging.getLogger(__name__)

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of two settings of glibc's allocator (mallopt(3)): more memory than the first, free at the heap's end, goes
back to the system, and pieces larger than the second are asked for and given back one by one."""


def choose_device(wanted: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda` and says which it is.

    Raises:
        UserError: cuda was asked for and cannot be used.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        reason = "this torch was built without CUDA" if torch.version.cuda is None else "no GPU can be reached"
        raise UserError(
            f"resources.device: cuda was asked for, but {reason} (torch {torch.__version__}). Use auto or cpu."
        )
    # GPUs round the products of 32-bit convolutions to 10 bits unless they are told not to, which shows in the voxels.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    name = "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    logger.info("device: %s", device_words(device))
    return device


def device_words(device: torch.device) -> str:
    """Name a device for a reader."""
    return f"{device.type} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def use_threads(count: int) -> None:
    """Fix the number of threads, on which the order of float sums and so the last digits depend."""
    torch.set_num_threads(count)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory costs time, and nothing here reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def keep_memory() -> None:
    """Let this process keep memory that it has freed, for its next step; where the C library is not glibc, nothing.

    Every step of a training frees hundreds of megabytes and asks for them again. Memory that went back to the system in
    between must be cleared and mapped page by page, which took a tenth of a step's time.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        most = 2 ** (8 * ctypes.sizeof(ctypes.c_int) - 1) - 1
        library.mallopt(MMAP_THRESHOLD, most)
        library.mallopt(TRIM_THRESHOLD, most)
