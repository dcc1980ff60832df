"""Differences between valid results and their inputs, which set the limits of `pipeline.inference.result_check`.

Every network of a run restores low-resolution images of its test volumes, simulated with several noise levels and
affine changes of intensity, with an unknown forward model, like `brainsr apply`. Prints the largest difference of each
network, as a fraction of the intensity range.

  python -m benchmarks.agreement --run results/demo
"""

from __future__ import annotations

import argparse
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline import plugins
from pipeline.config.sections import Extract, Infer
from pipeline.formats import ROOM, Part
from pipeline.formats.io.container import read_image
from pipeline.image.image import Image
from pipeline.inference.restore_file import restore_file
from pipeline.physics.low_resolution import LowResolutionImage

NOISE = (0.0, 0.01, 0.02, 0.05)
CHANGES = {"as it is": (1.0, 0.0), "minus 1000": (1.0, -1000.0), "times 7 plus 500": (7.0, 500.0)}
"""Factors and offsets of the affine changes of intensity."""
SLICES = 6
"""Number of evenly spaced slices restored per volume."""
SHARE = re.compile(r"differs from its input by ([\d.]+) % of the range")


class Shares(logging.Handler):
    """Log handler that collects the differences."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Store the difference of a message."""
        found = SHARE.search(record.getMessage())
        if found:
            self.found.append(float(found[1]) / 100)


def measurements(folder: Path) -> Iterator[tuple[str, Image]]:
    """Yield the low-resolution test volumes of a run with every noise level, some slices of each."""
    for path in sorted((folder / "degraded").glob("*.safetensors")):
        low = read_image(path, LowResolutionImage)
        if not str(low.identity.split).startswith("test"):
            continue
        reference = read_image(folder / "extracted" / path.name)
        axis = low.slice_axis
        places = np.unique(np.linspace(0, low.data.shape[axis] - 1, SLICES + 2).astype(int)[1:-1])
        for sigma in NOISE:
            model = replace(low.forward_model, noise_sigma=sigma)
            data = np.take(model.simulate(reference.data), places, axis)
            yield f"{path.stem}, {100 * sigma:.0f} % noise", low.with_data(data, masks={})


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, metavar="FOLDER", help="folder of a finished run")
    run = parser.parse_args(arguments).run
    shares = Shares()
    logging.getLogger("pipeline.inference.result_check").addHandler(shares)
    logging.getLogger("pipeline.inference.result_check").setLevel(logging.INFO)
    settings = Infer(force=True)
    print("| network | largest difference | image | results |\n| --- | ---: | --- | ---: |")  # noqa: T201
    for model in sorted((run / "models").glob("*/generator.safetensors")):
        worst, where, count = 0.0, "", 0
        with tempfile.TemporaryDirectory() as place:
            for name, low in measurements(run):
                for change, (factor, constant) in CHANGES.items():
                    offset, scale = low.intensity.shown_range
                    ranged = replace(low.intensity, offset=factor * offset + constant, scale=factor * scale)
                    floats = replace(ranged, slope=1.0, intercept=0.0, dtype="float32")
                    source, output = Path(place) / "in.nii.gz", Path(place) / "out.nii.gz"
                    plugins.load(ROOM, "nifti").write(source, low.with_data(low.data, intensity=floats))
                    shares.found.clear()
                    plane = Extract(plane=low.plane)
                    restore_file(model, source, output, Part(), plane, settings, "cpu", uncertainty=False)
                    count += 1
                    if shares.found[-1] >= worst:
                        worst, where = shares.found[-1], f"{name}, {change}"
        print(f"| {model.parent.name} | {100 * worst:.1f} % | {where} | {count} |")  # noqa: T201


if __name__ == "__main__":
    main()
