"""Memory and time of `brainsr apply` for stacks of thick sections of increasing size.

    python -m benchmarks.large_stacks --sections 250 --sides 1000 --work results/benchmark-stacks
    python -m benchmarks.large_stacks --sections 60 --sides 512 1024 --model total_variation --work ...

Stacks are synthetic, 16-bit, with voxels of 10 x 10 x 40 nm, and written section by section. Without --model, the
network is the smallest one of any ratio with random weights. Every restoration runs in its own process; the peak
resident memory is reported by the operating system. Prints a table; images and results are removed.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
import torch
import zarr
from numpy.typing import NDArray

from benchmarks.large_images import FORMATS, TILE, apply_measured
from pipeline.formats._ngff import Axis, Multiscale, attributes
from pipeline.formats._pyramid import blocks_of, create_level
from pipeline.models.generator import Generator, Shape
from pipeline.models.weights import save_generator

VOXEL_UM = {"z": 0.04, "y": 0.01, "x": 0.01}


def section(number: int, side: int) -> NDArray[np.uint16]:
    """Return a synthetic section: bright cells that change slowly across the sections, with noise."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    cells = np.sin(y / 23 + np.sin(x / 91) + number / 5) * np.sin(x / 19 + np.sin(y / 57))
    noise = np.random.default_rng(number).normal(0, 400, (side, side))
    return (1000 + 20000 * np.clip(cells, 0, None) ** 2 + noise).clip(0, 65535).astype(np.uint16)


def make_stack(path: Path, sections: int, side: int) -> Path:
    """Write a tiled, compressed stack in the format of its extension; return `path`."""
    shape = (sections, side, side)
    if path.suffix == ".zarr":
        group = zarr.open_group(path, mode="w", zarr_format=3)
        level = create_level(group, "0", shape, np.dtype(np.uint16), "zyx")
        for number in range(sections):
            level[number] = section(number, side)
        axes = tuple(Axis(name, "micrometer", size) for name, size in VOXEL_UM.items())
        group.attrs.put(attributes(Multiscale("0.5", "0", axes), 1))
        return path
    tiles = (
        np.pad(one[place], [(0, TILE - length) for length in one[place].shape])
        for one in (section(number, side) for number in range(sections))
        for place in blocks_of((side, side), TILE)
    )
    sizes = {f"PhysicalSize{axis.upper()}": size for axis, size in VOXEL_UM.items()}
    metadata = {"axes": "ZYX", **sizes}
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as file:
        options = {"tile": (TILE, TILE), "compression": "zlib", "metadata": metadata}
        file.write(tiles, shape=shape, dtype=np.uint16, **options)
    return path


def make_network(path: Path) -> Path:
    """Write the smallest network of any ratio; return `path`."""
    torch.manual_seed(0)
    save_generator(path, Generator(Shape("fast_edsr", blocks=1, features=8).for_any_ratio()))
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", type=int, default=250, metavar="NUMBER", help="sections of the stacks")
    parser.add_argument("--sides", type=int, nargs="+", default=[1000], metavar="PIXELS", help="sides of the sections")
    parser.add_argument("--model", help="name of a network that ships or of a baseline; by default a small network")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS, help="formats of the stacks")
    parser.add_argument(
        "--work", type=Path, required=True, metavar="FOLDER", help="folder of stacks and results; created"
    )
    parsed = parser.parse_args(arguments)
    parsed.work.mkdir(parents=True)
    model = parsed.model or make_network(parsed.work / "generator.safetensors")
    print(  # noqa: T201
        "| sections | side / pixels | format | time / s | processor time / s | peak memory / MiB |\n"
        "| ---: | ---: | --- | ---: | ---: | ---: |"
    )
    for side in parsed.sides:
        for title in parsed.formats:
            suffix = FORMATS[title]
            folder = parsed.work / f"{side}{suffix}"
            folder.mkdir()
            source = make_stack(folder / f"in{suffix}", parsed.sections, side)
            cost = apply_measured(model, source, folder / f"out{suffix}", "--noise-sigma", "0.02")
            numbers = f"{cost.seconds:.0f} | {cost.processor_seconds:.0f} | {cost.peak_bytes / 2**20:.0f}"
            print(f"| {parsed.sections} | {side} | {title} | {numbers} |", flush=True)  # noqa: T201
            shutil.rmtree(folder)
    shutil.rmtree(parsed.work)


if __name__ == "__main__":
    main()
