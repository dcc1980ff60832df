"""Shared by all benchmarks: timing in turns, so that load affects all equally, and a description of the machine."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import psutil

CHECKOUT = Path(__file__).resolve().parents[1]
BYTES_PER_KIB = 1024


class Cost(NamedTuple):
    """Time and memory of a process.

    Attributes:
        seconds: elapsed time.
        processor_seconds: processor time of all threads.
        peak_bytes: peak resident memory; on Linux at least that of the parent process.
    """

    seconds: float
    processor_seconds: float
    peak_bytes: int


def run_apart(command: Sequence[str | Path], log: Path, variables: Mapping[str, str] | None = None) -> Cost:
    """Run a command and wait for it.

    Args:
        command: program and arguments; Python finds the packages of this checkout.
        log: file for its output.
        variables: additional environment variables.

    Raises:
        RuntimeError: the command failed; the message is its output.
    """
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **(variables or {})}
    began = time.monotonic()
    with log.open("w") as stream:
        process = subprocess.Popen([str(part) for part in command], env=environment, stdout=stream, stderr=stream)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(log.read_text())
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * BYTES_PER_KIB)


@contextmanager
def kept_apart(make: Callable[..., Callable[[Any], Any]], *arguments: Any) -> Iterator[Callable[[Any], Any]]:
    """Run a function in a separate process, unaffected by memory settings of other implementations.

    Args:
        make: creates the function in that process; must be importable.
        arguments: arguments of `make`.

    Yields:
        The function. Its argument and result are passed between the processes; None ends the process.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
    process.start()
    # With the other end of the pipe open in this process, waiting for a process that has died would never end.
    theirs.close()

    def call(given: Any) -> Any:
        ours.send(given)
        return ours.recv()

    yield call
    ours.send(None)
    process.join()


def _serve(connection: Connection, make: Callable[..., Callable[[Any], Any]], arguments: Sequence[Any]) -> None:
    function = make(*arguments)
    for given in iter(connection.recv, None):
        connection.send(function(given))


def interleaved(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every call; after one warm-up call each, the functions are called in turn.

    Args:
        functions: functions by name.
        rounds: number of measured calls of each.
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
    """Return medians and the median of the ratios within the rounds."""
    pairs = zip(seconds[peer], seconds[name], strict=True)
    return {
        "peer_s": statistics.median(seconds[peer]),
        "ours_s": statistics.median(seconds[name]),
        "ratio": statistics.median(theirs / ours for theirs, ours in pairs),
        "rounds": len(seconds[name]),
    }


def machine() -> dict[str, str]:
    """Describe the machine."""
    import torch  # imported here, since its memory would count for child processes

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
