"""Gain of networks and baselines against computing time, with the inference loop of Real-ESRGAN.

    python -m benchmarks.gain_against_time results/persons-mri-x2-2-2 --networks mri-x2 --output FIGURE

Reads a run of benchmarks.shipped_networks: low-resolution volume, reference and tuned settings of the baselines. Each
method restores the same slices as `brainsr apply` does, in turns, without reading and writing; networks in one pass,
and those that are not fast also in the passes of `apply`. The peer is the loop described in benchmarks.inference (one
slice after the other, float32, defaults of PyTorch, no background skipped), with the weights of the first network: its
result is that of a single pass. Prints median seconds, extrapolated to a head of 180 slices, and the mean PSNR over the
foreground of the slices minus that of cubic B-splines.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.timing import interleaved, kept_apart
from pipeline import plugins
from pipeline.baselines.tuning.apply import BASELINES, Tuning, read_tuning, upsample
from pipeline.config.sections import Infer
from pipeline.formats.io.container import read_image
from pipeline.image.image import Image
from pipeline.inference.neighbours import with_neighbours
from pipeline.inference.restoration import restore_uncorrected
from pipeline.metrics.psnr import per_slice
from pipeline.models.device import use_threads
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator
from pipeline.models.zoo import checked_weights
from pipeline.physics.low_resolution import LowResolutionImage

VOLUME = "s1-t1"
HEAD_SLICES = 180
BASIS = "bspline3"
PEER = "Real-ESRGAN's loop"
Volume = NDArray[np.float32]


class Row(NamedTuple):
    """Time and gain of a method.

    Attributes:
        method: name, for networks with the number of passes.
        seconds: for `HEAD_SLICES` slices.
        gain: PSNR minus that of `BASIS`, in dB.
    """

    method: str
    seconds: float
    gain: float


def peer(weights: Path, threads: int) -> Callable[[LowResolutionImage], Volume]:
    """Return the restoration function of the peer: along the slice axis of an image, one slice after the other."""
    torch.set_num_threads(threads)
    network = load_generator(weights).eval()

    def restore(image: LowResolutionImage) -> Volume:
        slices = with_neighbours(np.moveaxis(image.data, image.slice_axis, 0), network.shape.neighbours)
        sigma = torch.full((1,), image.forward_model.noise_sigma)
        with torch.no_grad():
            restored = [network(torch.from_numpy(np.array(one))[None], sigma)[0, 0].numpy() for one in slices]
        return np.moveaxis(np.stack(restored), 0, image.slice_axis)

    return restore


def restored_by(network: Generator, passes: int, image: LowResolutionImage, threads: int) -> Volume:
    """Restore an image as `brainsr apply` does, with a number of passes."""
    sigma = image.forward_model.noise_sigma
    settings = Infer.model_validate(
        {"threads": threads, "data_consistency": False, "noise_sigma": sigma, "passes": passes}
    )
    return restore_uncorrected([network], image, "rician", settings).restored


def methods(
    names: Sequence[str], image: LowResolutionImage, tuning: Tuning, threads: int
) -> dict[str, Callable[[], Volume]]:
    """Return a restoration function for each method."""
    found: dict[str, Callable[[], Volume]] = {
        name: partial(upsample, image, name, tuning) for name in plugins.names(BASELINES)
    }
    for name in names:
        network = load_generator(checked_weights(name)).eval()
        for passes in sorted({1, network.record.self_ensemble}):
            label = f"{name}, {passes} pass{'es' if passes > 1 else ''}"
            found[label] = partial(restored_by, network, passes, image, threads)
    return found


def psnr(reference: Image, restored: Volume) -> float:
    """Return the mean PSNR of the slices with foreground, in dB."""
    axis = reference.slice_axis
    volumes = (reference.data, restored, reference.masks["foreground"])
    cut = tuple(slice(size) for size in reference.data.shape)
    slices = zip(*(np.moveaxis(one[cut], axis, 0) for one in volumes), strict=True)
    return float(np.mean([per_slice(one, other, mask, 1.0) for one, other, mask in slices if mask.any()]))


def measure(run: Path, volume: str, names: Sequence[str], rounds: int, threads: int) -> list[Row]:
    """Return the rows of all methods, the fastest first."""
    image = read_image(run / "degraded" / f"{volume}.safetensors", LowResolutionImage)
    reference = read_image(run / "extracted" / f"{volume}.safetensors")
    ours = methods(names, image, read_tuning(run / "tuning" / "settings.json"), threads)
    with kept_apart(peer, checked_weights(names[0]), threads) as theirs:
        runs: Mapping[str, Callable[[], Volume]] = {**ours, PEER: partial(theirs, image)}
        quality = {name: psnr(reference, restore()) for name, restore in runs.items()}
        seconds = interleaved(runs, rounds)
    scale = HEAD_SLICES / image.data.shape[image.slice_axis]
    rows = [Row(name, scale * median(seconds[name]), quality[name] - quality[BASIS]) for name in runs]
    return sorted(rows, key=lambda row: row.seconds)


def draw(rows: Sequence[Row], output: Path) -> None:
    """Write the figure."""
    figure, axes = plt.subplots(figsize=(7.2, 4.2), dpi=120)
    for row in rows:
        colour = "tab:orange" if "pass" in row.method else "tab:red" if row.method == PEER else "tab:blue"
        axes.plot(row.seconds, row.gain, "o", color=colour)
        axes.annotate(row.method, (row.seconds, row.gain), xytext=(5, 4), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.set_xlabel(f"seconds for {HEAD_SLICES} slices, two cores (logarithmic)")
    axes.set_ylabel("gain over cubic B-splines, dB")
    axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(output)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the results of a run")
    parser.add_argument("--volume", default=VOLUME, help=f"test volume (default: {VOLUME})")
    parser.add_argument("--networks", nargs="+", required=True, metavar="NAME", help="networks that ship")
    parser.add_argument("--output", type=Path, metavar="FILE", help="picture")
    parser.add_argument("--rounds", type=int, default=3, help="number of measured rounds")
    parser.add_argument("--threads", type=int, default=2, help="number of threads")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    use_threads(options.threads)
    rows = measure(options.run, options.volume, options.networks, options.rounds, options.threads)
    lines = [f"| {row.method} | {row.seconds:.1f} | {row.gain:+.2f} |" for row in rows]
    sys.stdout.write("\n".join(["| method | seconds | gain, dB |", "| --- | ---: | ---: |", *lines, ""]))
    if options.output:
        draw(rows, options.output)


if __name__ == "__main__":
    main()
