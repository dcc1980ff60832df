"""Seconds and memory of one slice by its size, beside the loop in which such networks are run today.

    python -m benchmarks.slice_size [--model PATH] [--threads 2] [--json PATH]

The peer is that of benchmarks.inference. Each size is restored in a process of its own, whose peak of resident memory
Linux tells; it includes Python, the libraries and the weights.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.inference import FACTORS, MODEL, SIGMA, peer_slice
from benchmarks.timing import machine
from pipeline.config.stages import Infer
from pipeline.inference.volume import restore_volume
from pipeline.models.device import use_threads
from pipeline.models.weights import load_generator

SIDES = (32, 64, 128, 192, 256, 384)
ROUNDS = 3


def curve(model: Path, threads: int) -> list[dict[str, Any]]:
    """Returns what a slice costs, by its side in low-resolution voxels."""
    return [{"side": side, **{who: _apart(who, side, model, threads) for who in ("peer", "ours")}} for side in SIDES]


def _apart(who: str, side: int, model: Path, threads: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.slice_size", "--one", who, str(side), "--model", str(model)]
    done = subprocess.run([*command, "--threads", str(threads)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def cost(who: str, side: int, model: Path, threads: int) -> dict[str, float]:
    """Returns the fewest seconds that a slice took, and this process's peak of resident memory in MiB."""
    network = load_generator(model).eval()
    image = np.random.default_rng(0).random((side, side), dtype=np.float32)
    if who == "peer":
        torch.set_num_threads(threads)
        run: Callable[[], Any] = partial(peer_slice, network, image, SIGMA)
    else:
        use_threads(threads)
        run = partial(restore_volume, network, image[..., None], FACTORS, 2, Infer(threads=threads), SIGMA)
    seconds = []
    for _ in range(1 + ROUNDS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return {"seconds": min(seconds[1:]), "peak_mib": _peak_kib() / 1024}


def _peak_kib() -> int:
    """What getrusage tells would be that of the process that started this one, where that was larger."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the curve as a table in Markdown."""
    lines = [
        "| side, low-resolution voxels | peer, s | ours, s | peer, peak MiB | ours, peak MiB |",
        "| ---: " * 5 + "|",
    ]
    for row in rows:
        peer, ours = row["peer"], row["ours"]
        memory = f"{peer['peak_mib']:.0f} | {ours['peak_mib']:.0f}"
        lines.append(f"| {row['side']} | {peer['seconds']:.2f} | {ours['seconds']:.2f} | {memory} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="a network (default: the demo's)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the computation")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where all is written as well")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    logging.disable(logging.WARNING)
    if parsed.one:
        sys.stdout.write(json.dumps(cost(parsed.one[0], int(parsed.one[1]), parsed.model, parsed.threads)) + "\n")
        return
    rows = curve(parsed.model, parsed.threads)
    sys.stdout.write(table_of(rows) + "\n")
    if parsed.json:
        described = {"title": "One slice by its size", "machine": machine(), "rows": rows}
        parsed.json.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
