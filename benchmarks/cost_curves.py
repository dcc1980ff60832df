"""Cost of inference: time and memory by slice size, number of volumes, and number of tiles.

    python -m benchmarks.cost_curves [--model PATH] [--volume PATH] [--threads 2] [--json PATH]

Time should be proportional to the number of voxels, volumes and tiles, and memory independent of the last two.

*Slices*: a single slice, compared with the loop of benchmarks.inference; minimum of three repetitions, without
start-up. *Volumes*: `python -m pipeline.steps infer` for copies of mni152 of the demo, including start-up. *Tiles*:
`brainsr apply` for a TIFF image that is divided into tiles of 256 pixels, with the smallest network of factor 2,
including start-up. Every measurement runs in its own process, whose memory includes Python, the libraries and the
weights.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.timing import Cost, machine, run_apart

MODEL = Path("results/demo/models/rrdb_l1/generator.safetensors")
VOLUME = Path("results/demo/degraded/mni152.safetensors")
SIDES = (32, 64, 128, 192, 256, 384)
ROUNDS = 3
VOLUMES = (1, 2, 4, 8)
TILES_A_SIDE = (5, 8, 12, 17)
TILE, OVERLAP = 256, 16

Row = dict[str, Any]


def curves(model: Path, volume: Path, threads: int) -> dict[str, list[Row]]:
    """Return all costs: `slices` by side in low-resolution voxels, `volumes` and `tiles` by number."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        slices = [
            {"side": side, **{who: _one_slice(who, side, model, threads, folder) for who in ("peer", "ours")}}
            for side in SIDES
        ]
        volumes = [{"count": one, "ours": _volumes(one, model, volume, threads, folder)} for one in VOLUMES]
        tiles = [{"count": one**2, "ours": _tiles(one, threads, folder)} for one in TILES_A_SIDE]
    return {"slices": slices, "volumes": volumes, "tiles": tiles}


def _one_slice(who: str, side: int, model: Path, threads: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.cost_curves", "--one", who, str(side), "--model", model]
    log = folder / "log"
    run_apart([*command, "--threads", str(threads)], log)
    return json.loads(log.read_text(encoding="utf-8").splitlines()[-1])


def _volumes(count: int, model: Path, volume: Path, threads: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "pipeline.steps", "infer", "--model", model, "--device", "cpu"]
    command += [
        "--lr",
        *[volume] * count,
        "--output",
        folder / "restored",
        "--settings",
        json.dumps({"threads": threads}),
    ]
    return _told(run_apart(command, folder / "log"))


def _tiles(a_side: int, threads: int, folder: Path) -> dict[str, float]:
    # Imported here, since Linux counts the memory of this process for its child processes; see Cost.
    from benchmarks.large_images import apply_measured, make_image, make_network

    side = a_side * (TILE - OVERLAP) + OVERLAP
    network, source = make_network(folder / "generator.safetensors"), folder / "image.ome.tiff"
    make_image(source, side, side)
    settings = {"threads": threads, "tile_lr": TILE, "overlap_lr": OVERLAP}
    return _told(apply_measured(network, source, folder / f"{a_side}.ome.tiff", "--settings", json.dumps(settings)))


def _told(cost: Cost) -> dict[str, float]:
    return {"seconds": cost.seconds, "peak_mib": cost.peak_bytes / 2**20}


def one_slice(who: str, side: int, model: Path, threads: int) -> dict[str, float]:
    """Return the minimum time per slice in seconds, and the peak resident memory of this process in MiB."""
    import numpy as np
    import torch

    from benchmarks.inference import FACTORS, SIGMA, peer_slice
    from pipeline.config.sections import Infer
    from pipeline.inference.volume import restore_volume
    from pipeline.models.device import use_threads
    from pipeline.models.weights import load_generator

    logging.disable(logging.WARNING)
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
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def table(result: Mapping[str, Sequence[Row]]) -> str:
    """Return the curves as tables in Markdown."""
    lines = ["| side, low-resolution voxels | peer, s | ours, s | peer, peak MiB | ours, peak MiB |"]
    lines.append("| ---: " * 5 + "|")
    for row in result["slices"]:
        peer, ours = row["peer"], row["ours"]
        memory = f"{peer['peak_mib']:.0f} | {ours['peak_mib']:.0f}"
        lines.append(f"| {row['side']} | {peer['seconds']:.2f} | {ours['seconds']:.2f} | {memory} |")
    for name in ("volumes", "tiles"):
        lines += ["", f"| {name} | s | peak MiB |", "| ---: " * 3 + "|"]
        costs = [(row["count"], row["ours"]) for row in result[name]]
        lines += [f"| {count} | {cost['seconds']:.1f} | {cost['peak_mib']:.0f} |" for count, cost in costs]
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="a network (default: the demo's)")
    parser.add_argument("--volume", type=Path, default=VOLUME, help="a degraded volume (default: the demo's mni152)")
    parser.add_argument("--threads", type=int, default=2, help="number of threads")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results to this file")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.one:
        cost = one_slice(parsed.one[0], int(parsed.one[1]), parsed.model, parsed.threads)
        sys.stdout.write(json.dumps(cost) + "\n")
        return
    for path in (parsed.model, parsed.volume):
        if not path.is_file():
            parser.error(f"{path} does not exist: run `make demo` first, or give another file")
    result = curves(parsed.model, parsed.volume, parsed.threads)
    sys.stdout.write(table(result) + "\n")
    if parsed.json:
        described = {"title": "Cost of inference", "machine": machine(), **result}
        parsed.json.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
