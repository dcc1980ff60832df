"""Details of real scans with thick slices: as acquired, interpolated, and restored by total variation.

Nothing is known about these heads between the slices; the figure is for the eye alone.

  python -m benchmarks.thick_slices_figure ../shared/data/thick-slices --output docs/thick-slices-real.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from pipeline.baselines.tuning.apply import upsample
from pipeline.config.sections import Extract
from pipeline.formats import format_of
from pipeline.image.image import PLANE_AXIS
from pipeline.image.normalisation import normalise
from pipeline.inference.restore_baseline import restored_by
from pipeline.inference.thick_slices import as_thick_slices
from pipeline.models.device import use_threads

ROWS = (
    ("p12-study1-T1W", "coronal"),
    ("p12-study1-T2W", "coronal"),
    ("p01-study1-FLAIR", "sagittal"),
)
"""Scans and the plane of the detail."""
COLUMNS = ("input", "cubic B-spline", "total variation")
WIDTH_MM, HEIGHT_MM = 110.0, 84.0


def details(path: Path, plane: str) -> list[NDArray[np.float32]]:
    """Return a detail about the centre of the head for every column, with rows from the top."""
    image = as_thick_slices(normalise(format_of(path).read(path), Extract()), None, None, path.name)
    volumes = [upsample(image, method) for method in ("nearest", "bspline3")]
    volumes.append(restored_by("total_variation", image, path.name))
    sizes = image.forward_model.spacing_mm or (1.0, 1.0, 1.0)
    normal = PLANE_AXIS[plane]
    centre = np.argwhere(volumes[0] > np.percentile(volumes[0], 80)).mean(axis=0).tolist()
    place: list[int | slice] = []
    for axis, (middle, size) in enumerate(zip(centre, sizes, strict=True)):
        half = round((HEIGHT_MM if axis == PLANE_AXIS["axial"] else WIDTH_MM) / 2 / size)
        place.append(round(middle) if axis == normal else slice(max(0, round(middle) - half), round(middle) + half))
    return [volume[tuple(place)].T[::-1] for volume in volumes]


def draw(folder: Path, output: Path) -> None:
    """Write the figure.

    Args:
        folder: folder of the scans.
        output: picture.
    """
    figure, axes = plt.subplots(len(ROWS), len(COLUMNS), figsize=(9.6, 7.6), dpi=100)
    for line, (name, plane) in zip(axes, ROWS, strict=True):
        pictures = details(folder / f"{name}.nii.gz", plane)
        top = float(np.percentile(pictures[0], 99.7))
        for axis, picture, title in zip(line, pictures, COLUMNS, strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=top, interpolation="nearest", aspect="equal")
            axis.set_title(f"{title}, {name}" if title == COLUMNS[0] else title, fontsize=8)
            axis.axis("off")
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.97, 0.02, 0.07)
    figure.savefig(output)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the scans")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="picture")
    options = parser.parse_args(arguments)
    use_threads(1)
    draw(options.folder, options.output)


if __name__ == "__main__":
    main()
