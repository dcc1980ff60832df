"""Memory and time of `brainsr apply` for images of increasing size.

    python -m benchmarks.large_images --sides 2000 5000 20000 --work results/benchmark-large

Images are synthetic, 16-bit, tiled, and written tile by tile. The network is the smallest one with random weights,
which needs the same memory as with trained weights. Every restoration runs in its own process; the peak resident memory
is reported by the operating system. Prints a table; images and results are removed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tifffile
import torch
import zarr
from numpy.typing import NDArray

from benchmarks.timing import Cost, run_apart
from pipeline.formats._ngff import Axis, Multiscale, attributes
from pipeline.formats._pyramid import blocks_of, create_level
from pipeline.models.generator import Generator, Shape
from pipeline.models.weights import save_generator

TILE = 512
FORMATS = {"TIFF": ".ome.tiff", "OME-Zarr": ".ome.zarr"}
PIXEL_UM = 0.5


def block(rows: slice, columns: slice) -> NDArray[np.uint16]:
    """Return a part of a synthetic micrograph: bright cells on dark background, with noise; fixed by position."""
    y, x = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)[None, :]
    cells = np.sin(y / 23 + np.sin(x / 91)) * np.sin(x / 19 + np.sin(y / 57))
    noise = np.random.default_rng((rows.start, columns.start)).normal(0, 400, (y.size, x.size))
    return (1000 + 20000 * np.clip(cells, 0, None) ** 2 + noise).clip(0, 65535).astype(np.uint16)


def make_image(path: Path, rows: int, columns: int) -> Path:
    """Write a tiled, compressed image of one plane in the format of its extension; return `path`."""
    if path.suffix == ".zarr":
        group = zarr.open_group(path, mode="w", zarr_format=3)
        level = create_level(group, "0", (rows, columns), np.dtype(np.uint16), "yx")
        for place in blocks_of((rows, columns), TILE):
            level[place] = block(*place)
        axes = tuple(Axis(name, "micrometer", PIXEL_UM) for name in "yx")
        group.attrs.put(attributes(Multiscale("0.5", "0", axes), 1))
        return path
    size = {"PhysicalSizeX": PIXEL_UM, "PhysicalSizeY": PIXEL_UM}
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as file:
        file.write(
            _tiles(rows, columns),
            shape=(rows, columns),
            dtype=np.uint16,
            tile=(TILE, TILE),
            compression="zlib",
            metadata={"axes": "YX", **size},
        )
    return path


def _tiles(rows: int, columns: int) -> Iterator[NDArray[np.uint16]]:
    for place in blocks_of((rows, columns), TILE):
        part = block(*place)
        yield np.pad(part, [(0, TILE - side) for side in part.shape])


def make_network(path: Path) -> Path:
    """Write the smallest network, with factor 2; return `path`."""
    torch.manual_seed(0)
    save_generator(path, Generator(Shape(factor=2, blocks=1, features=8, growth=4, noise_map=True)))
    return path


def apply_measured(model: Path | str, source: Path, output: Path, *options: str) -> Cost:
    """Run `brainsr apply` in a separate process.

    Raises:
        RuntimeError: it failed; the text is what it wrote.
    """
    command: list[str | Path] = [sys.executable, "-m", "pipeline", "apply", "--device", "cpu", "--foreground", "all"]
    command += ["--model", model, source, "--output", output, "--force", *options]
    return run_apart(command, output.with_name(f"{output.name}.log"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[2000, 5000], metavar="PIXELS", help="sides of the images"
    )
    parser.add_argument(
        "--work", type=Path, required=True, metavar="FOLDER", help="folder of images and results; created"
    )
    parsed = parser.parse_args(arguments)
    parsed.work.mkdir(parents=True)
    network = make_network(parsed.work / "generator.safetensors")
    print("| side / pixels | format | time / s | peak memory / MiB |\n| ---: | --- | ---: | ---: |")  # noqa: T201
    for side in parsed.sides:
        for title, suffix in FORMATS.items():
            folder = parsed.work / f"{side}{suffix}"
            folder.mkdir()
            source = make_image(folder / f"in{suffix}", side, side)
            cost = apply_measured(network, source, folder / f"out{suffix}")
            print(f"| {side} | {title} | {cost.seconds:.0f} | {cost.peak_bytes / 2**20:.0f} |", flush=True)  # noqa: T201
            shutil.rmtree(folder)
    shutil.rmtree(parsed.work)


if __name__ == "__main__":
    main()
