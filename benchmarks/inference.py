"""Inference of slices and of a whole head, compared with the inference loop of Real-ESRGAN.

    python -m benchmarks.inference [--model PATH] [--head PATH] [--rounds 5] [--threads 2] [--json PATH]

The peer implements the loop of Real-ESRGAN's program from its description (Wang et al., ICCV Workshops 2021, and the
documentation of the program): one slice after the other, float32, default settings and memory layout of PyTorch; larger
slices in tiles of 400 pixels with a margin of 10 that is discarded. It uses the same single-channel network as ours,
which is to its advantage, as users run it with three channels. Both return the same voxels to 1e-4 of the range. The
peer runs in its own process, unaffected by the memory use of other engines.

The ceiling is the fastest 3 x 3 convolution with 64 channels measured in the same run, with torch and with OpenVINO.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.timing import against, interleaved, kept_apart, machine
from pipeline.config.sections import Extract, Infer
from pipeline.formats import nifti
from pipeline.image.normalisation import normalise
from pipeline.inference.background import (
    Background,
    computed_share,
    needed_margin,
    tissue_in_slices,
    tissue_of,
    windows_around,
)
from pipeline.inference.forward_pass import engine_for
from pipeline.inference.volume import restore_volume
from pipeline.models.device import use_threads
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import cuts

MODEL = Path("results/demo/models/rrdb_l1/generator.safetensors")
HEAD = Path("resources/pycortex-s1/raw.nii.gz")
FACTORS, SIGMA = (4, 4, 1), 0.02
TILE, MARGIN = 400, 10
SLICES = 16
EVERY = 32
BACKENDS = ("torch", "onnxruntime", "openvino")
BOUND = 1e-4


# The peer


def peer_slice(network: nn.Module, image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Restore a slice as Real-ESRGAN's program does."""
    tensor = torch.from_numpy(image)[None, None]
    told = torch.full((1,), sigma)
    with torch.no_grad():
        if max(image.shape) <= TILE:
            return network(tensor, told)[0, 0].numpy()
        rows, columns = image.shape
        result = torch.empty(rows * FACTORS[0], columns * FACTORS[1])
        for top in range(0, rows, TILE):
            for left in range(0, columns, TILE):
                bottom, right = min(top + TILE, rows), min(left + TILE, columns)
                above, before = max(0, top - MARGIN), max(0, left - MARGIN)
                part = tensor[..., above : bottom + MARGIN, before : right + MARGIN]
                restored = network(part, told)[0, 0]
                inside = restored[(top - above) * 4 : (bottom - above) * 4, (left - before) * 4 : (right - before) * 4]
                result[top * 4 : bottom * 4, left * 4 : right * 4] = inside
    return result.numpy()


class Asked(NamedTuple):
    """Input of the peer.

    Attributes:
        slices: slices along the first axis.
        returned: whether to return the result; the transfer between processes takes time.
    """

    slices: NDArray[np.float32]
    returned: bool = False


Peer = Callable[[Asked], NDArray[np.float32]]


def peer(model: Path, threads: int) -> Peer:
    """Return the restoration function of the peer."""
    torch.set_num_threads(threads)
    network = load_generator(model).eval()

    def restore(asked: Asked) -> NDArray[np.float32]:
        restored = np.stack([peer_slice(network, one, SIGMA) for one in asked.slices])
        return restored if asked.returned else restored[:0]

    return restore


# The head


def head_slices(path: Path, factor: int) -> NDArray[np.float32]:
    """Return the axial slices of a head, downsampled in-plane, with noise: (slice, rows, columns)."""
    image = normalise(nifti.read(path), Extract())
    shape = tuple(int(size) for size in image.data.shape)
    model = ForwardModel((factor, factor, 1), shape, "rician", SIGMA, seed=1)
    return np.ascontiguousarray(np.moveaxis(model.simulate(image.data), 2, 0))


def fine_slices(path: Path) -> NDArray[np.float32]:
    """Return every EVERY-th axial slice at full resolution, with noise, as input for super-resolution."""
    image = normalise(nifti.read(path), Extract())
    data = np.moveaxis(image.data, 2, 0)[::EVERY]
    rng = np.random.default_rng(1)
    noisy = np.hypot(data + rng.normal(0, SIGMA, data.shape), rng.normal(0, SIGMA, data.shape))
    return np.ascontiguousarray(noisy, dtype=np.float32)


# Measurements


def network_flops(network: Generator, rows: int, columns: int) -> float:
    """Return the FLOPs of all convolutions for one slice (two per multiplication), counted in a forward pass."""
    total = 0.0

    def count(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += 2 * output.numel() * layer.weight[0].numel()

    copied = copy.deepcopy(network)
    for layer in copied.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        copied(torch.zeros(1, 1, rows, columns), torch.zeros(1))
    return total


def ceiling(threads: int) -> dict[str, float]:
    """Return the peak throughput of this machine in GFLOP/s, by operation and library."""
    side, channels = 256, 64
    layer = nn.Conv2d(channels, channels, 3, padding=1).eval()
    flops = 2.0 * 9 * channels**2 * side**2
    image = torch.rand(1, channels, side, side)
    layers = {
        "torch, usual order": (layer, image),
        "torch, channels last": (
            copy.deepcopy(layer).to(memory_format=torch.channels_last),
            image.to(memory_format=torch.channels_last),
        ),
    }
    found: dict[str, float] = {}
    with torch.inference_mode():
        for name, (one, given) in layers.items():
            found[name] = flops / min(interleaved({"": partial(one, given)}, 30)[""]) / 1e9
        left = torch.rand(2048, 2048)
        found["matrix product of 2048 x 2048"] = 2 * 2048**3 / min(interleaved({"": lambda: left @ left}, 10)[""]) / 1e9
    if find_spec("openvino"):
        found["OpenVINO"] = _openvino_peak(layer, image.numpy(), flops, threads)
    return found


def _openvino_peak(layer: nn.Module, image: NDArray[np.float32], flops: float, threads: int) -> float:
    """Measure a stack of convolutions, so that the transfer to and from the engine is negligible."""
    import io

    import openvino

    depth, buffer = 8, io.BytesIO()
    stack = nn.Sequential(*(copy.deepcopy(layer) for _ in range(depth)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(stack, (torch.from_numpy(image),), buffer, dynamo=False)  # pyright: ignore[reportArgumentType]
    core = openvino.Core()
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    compiled = core.compile_model(core.read_model(buffer.getvalue()), "CPU", hints)
    return depth * flops / min(interleaved({"": lambda: compiled([image])}, 15)[""]) / 1e9


def slices_case(
    network: Generator, theirs: Peer, slices: NDArray[np.float32], rounds: int, threads: int
) -> list[dict[str, Any]]:
    """Measure full slices with every installed backend."""
    middle = slices[len(slices) // 4 :][:SLICES]
    engines = {
        name: engine_for(copy.deepcopy(network), Infer(backend=name, threads=threads))
        for name in BACKENDS
        if name == "torch" or find_spec(name)
    }
    runs: dict[str, Callable[[], Any]] = {
        name: partial(engine.restore, middle[:, None], SIGMA) for name, engine in engines.items()
    }
    expected = theirs(Asked(middle, returned=True))
    changed = {name: float(np.abs(run() - expected).max()) for name, run in runs.items()}
    assert max(changed.values()) < BOUND, changed
    if "openvino" in engines:
        # Exceeds the error bound, and is therefore optional.
        lower = engine_for(copy.deepcopy(network), Infer(backend="openvino", precision="bfloat16", threads=threads))
        runs["openvino, bfloat16"] = partial(lower.restore, middle[:, None], SIGMA)
        changed["openvino, bfloat16"] = float(np.abs(lower.restore(middle[:, None], SIGMA) - expected).max())
    seconds = interleaved({"peer": partial(theirs, Asked(middle)), **runs}, rounds)
    work = len(middle) * network_flops(network, *middle.shape[1:]) / 1e9
    size = " x ".join(map(str, middle.shape[1:]))
    return [
        {
            "case": f"{len(middle)} slices of {size}, {name}",
            "gflops": work / median(seconds[name]),
            "largest_difference": changed[name],
            **against(seconds, name, "peer"),
        }
        for name in runs
    ] + [{"case": "peer", "gflops": work / median(seconds["peer"])}]


def head_case(
    network: Generator, theirs: Peer, slices: NDArray[np.float32], rounds: int, threads: int, what: str
) -> dict[str, Any]:
    """Measure a head as restored by `infer`, without background."""
    settings = Infer(threads=threads)
    volume = np.ascontiguousarray(np.moveaxis(slices, 0, 2))
    margin = needed_margin(network.record, settings.background_tolerance)
    ours = copy.deepcopy(network)

    def restored() -> NDArray[np.float32]:
        background = Background(tissue_of(volume, 2), margin)
        return restore_volume(ours, volume, FACTORS, 2, settings, SIGMA, background=background)

    tissue = tissue_of(volume, 2)
    windows = windows_around(tissue_in_slices(tissue, cuts(FACTORS, 2)[0], (1, 1, 1)), margin)
    inside = np.repeat(np.repeat(tissue, 4, axis=0), 4, axis=1)
    changed = np.abs(restored() - np.moveaxis(theirs(Asked(slices, returned=True)), 0, 2))[inside].max()
    seconds = interleaved({"peer": partial(theirs, Asked(slices)), "ours": restored}, rounds)
    return {
        "case": f"{what}: {len(slices)} slices of {slices.shape[1]} x {slices.shape[2]}",
        "background": float(1 - tissue.mean()),
        "computed": computed_share(windows, (slices.shape[1], slices.shape[2])),
        "margin": margin,
        "largest_difference_in_tissue": float(changed),
        **against(seconds, "ours", "peer"),
    }


def measure(model: Path, head: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Return all results."""
    use_threads(threads)
    network = load_generator(model).eval()
    coarse = head_slices(head, 4)
    peak = ceiling(threads)
    with kept_apart(peer, model, threads) as theirs:
        rows = slices_case(network, theirs, coarse, rounds, threads)
        cases = {
            "whole head": coarse,
            "whole head, every other slice": head_slices(head, 2)[::2],
            f"one slice in {EVERY}, as scanned": fine_slices(head),
        }
        heads = [
            head_case(network, theirs, slices, max(1, rounds // 2), threads, what) for what, slices in cases.items()
        ]
    return {
        "title": f"{network.shape.blocks}-block RRDBNet, {threads} threads, float32",
        "machine": machine(),
        "ceiling_gflops": peak,
        "rows": rows,
        "heads": heads,
    }


def table(result: Mapping[str, Any]) -> str:
    """Return the result as tables of Markdown."""
    best = max(value for name, value in result["ceiling_gflops"].items() if "matrix" not in name)
    lines = ["| case | peer, s | ours, s | ratio | GFLOP/s | of the ceiling | largest difference |"]
    lines.append("| --- " + "| ---: " * 6 + "|")
    for row in result["rows"]:
        speed = f"{row['gflops']:.0f} | {100 * row['gflops'] / best:.0f} %"
        if "ratio" not in row:
            lines.append(f"| {row['case']} | | | 1 | {speed} | |")
            continue
        times = f"{row['peer_s']:.2f} | {row['ours_s']:.2f} | {row['ratio']:.2f}"
        lines.append(f"| {row['case']} | {times} | {speed} | {row['largest_difference']:.1e} |")
    lines += ["", "| case | background | computed | peer, s | ours, s | ratio | largest difference in tissue |"]
    lines.append("| --- " + "| ---: " * 6 + "|")
    lines += [
        f"| {row['case']} | {100 * row['background']:.0f} % | {100 * row['computed']:.0f} % | {row['peer_s']:.1f} | "
        f"{row['ours_s']:.1f} | "
        f"{row['ratio']:.2f} | {row['largest_difference_in_tissue']:.1e} |"
        for row in result["heads"]
    ]
    peaks = ", ".join(f"{name} {value:.0f}" for name, value in result["ceiling_gflops"].items())
    return "\n".join([*lines, "", f"Ceiling, GFLOP/s: {peaks}."])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--model", type=Path, default=MODEL, help="a network (default: the demo's)")
    parser.add_argument("--head", type=Path, default=HEAD, help="a head (default: the head downloaded by the demo)")
    parser.add_argument("--threads", type=int, default=2, help="number of threads")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--rounds", type=int, default=5, help="number of measured rounds")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results to this file")
    parsed = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    for path in (parsed.model, parsed.head):
        if not path.is_file():
            parser.error(f"{path} does not exist: run `make demo` first, or give another file")
    result = measure(parsed.model, parsed.head, parsed.rounds, parsed.threads)
    sys.stdout.write(f"{result['title']}\n\n{table(result)}\n")
    if parsed.json:
        parsed.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
