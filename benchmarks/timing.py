"""What all measurements share: contenders take turns, so that a busy moment strikes all; the machine is described."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch


def interleaved(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of every call; each function is called once before it counts, then all in turn.

    Args:
        functions: by name.
        rounds: calls of each that count.
    """
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def against(seconds: Mapping[str, Sequence[float]], name: str, peer: str) -> dict[str, Any]:
    """Returns medians and the median of the ratios within the rounds."""
    pairs = zip(seconds[peer], seconds[name], strict=True)
    return {
        "peer_s": statistics.median(seconds[peer]),
        "ours_s": statistics.median(seconds[name]),
        "ratio": statistics.median(theirs / ours for theirs, ours in pairs),
        "rounds": len(seconds[name]),
    }


def machine() -> dict[str, str]:
    """Describes where this runs."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "processor": f"{model}, {torch.backends.cpu.get_cpu_capability()}",
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
