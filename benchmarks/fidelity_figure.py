"""Lesions of known size in a slice of a head: which of them each method shows after degradation by a factor of 4.

    python -m benchmarks.fidelity_figure resources/pycortex-s1/raw.nii.gz --output docs/fidelity.png

Bright and dark spheres of 2, 4 and 6 voxels are inserted into the reference, k-space is truncated, and 2 % Rician noise
is added. The lower row shows what the lesions add to each result: the difference from the result without them, at the
same noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from pipeline.baselines.tuning.apply import upsample
from pipeline.config.sections import Degrade, Extract, Infer
from pipeline.formats import format_of
from pipeline.image.image import Image
from pipeline.image.normalisation import normalise
from pipeline.inference.choice import weights_named
from pipeline.inference.restoration import network_on, restore
from pipeline.models.device import choose_device, use_threads
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.low_resolution import LowResolutionImage

NETWORK = "mri-x4"
BASELINES = {"zero-filled k-space": "zerofill", "total variation": "total_variation"}
DIAMETERS, CONTRAST = (2, 4, 6), 0.25
"""Diameters in voxels, and contrast as a fraction of the intensity range."""
SLICE, BESIDE = 132, 4
"""The slice, and the number of slices restored on either side."""
BESIDE_CENTRE, BELOW_CENTRE = 26, (-22, 0, 22)
"""Places of the lesions, in voxels: bright ones on one side, dark ones on the other, one below the other."""
MARGIN = 20
OVERSAMPLING = 5
SEED = 2026


def sphere(shape: Sequence[int], centre: Sequence[float], diameter: float) -> NDArray[np.float32]:
    """Return the fraction of every voxel that a sphere covers.

    Args:
        shape: of the volume.
        centre: in voxels.
        diameter: in voxels.
    """
    steps = (np.arange(OVERSAMPLING) + 0.5) / OVERSAMPLING - 0.5
    axes = [(np.arange(size)[:, None] + steps).ravel() - place for size, place in zip(shape, centre, strict=True)]
    squares = axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2
    cells = [part for size in shape for part in (size, OVERSAMPLING)]
    return (squares <= (diameter / 2) ** 2).reshape(cells).mean(axis=(1, 3, 5), dtype=np.float32)


def lesions(shape: Sequence[int], centre: Sequence[float]) -> tuple[NDArray[np.float32], list[tuple[float, ...]]]:
    """Return the added intensities, and row, column and diameter of each lesion."""
    added, places = np.zeros(shape, dtype=np.float32), []
    for sign in (1, -1):
        for below, diameter in zip(BELOW_CENTRE, DIAMETERS, strict=True):
            place = (centre[0] + sign * BESIDE_CENTRE, centre[1] - below, centre[2])
            added += sign * CONTRAST * sphere(shape, place, diameter)
            places.append((*place[:2], diameter))
    return added, places


def slices_of(path: Path) -> Image:
    """Return the normalised slices of a head, axial, with their foreground."""
    head = normalise(format_of(path).read(path), Extract(plane="axial"))
    part = np.s_[:, :, SLICE - BESIDE : SLICE + BESIDE + 1]
    masks = {name: mask[part] for name, mask in head.masks.items()}
    return replace(head.with_data(head.data[part], masks=masks), block=replace(head.block, stored_minimum=0.0))


def draw(path: Path, output: Path) -> None:
    """Write the figure.

    Args:
        path: file of the head.
        output: picture.
    """
    without = slices_of(path)
    centre = [float(np.mean(np.flatnonzero(without.masks["foreground"].any(axis=other)))) for other in ((1, 2), (0, 2))]
    added, places = lesions(without.data.shape, [*centre, BESIDE])
    present = without.with_data(without.data + added)
    weights = weights_named(NETWORK)
    assert weights is not None
    network = network_on(weights.path, choose_device("cpu"))
    settings = Infer(data_consistency=False)

    def by_baseline(method: str) -> Callable[[LowResolutionImage], NDArray[np.float32]]:
        return lambda image: upsample(image, method)

    methods = {title: by_baseline(method) for title, method in BASELINES.items()}
    methods |= {NETWORK: lambda image: restore(network, image, settings)}
    model = forward_model(without, Degrade(), SEED)
    columns = {"reference": [present.data, without.data]}
    for title, method in methods.items():
        columns[title] = [method(degrade(image, model)) for image in (present, without)]
    figure, axes = plt.subplots(2, len(columns), figsize=(10, 5.6), dpi=100)
    reach = BESIDE_CENTRE + MARGIN
    rows, cols = (slice(round(one) - reach, round(one) + reach) for one in centre)
    for number, (title, (with_lesions, plain)) in enumerate(columns.items()):
        shown = [one[rows, cols, BESIDE].T[::-1] for one in (with_lesions, with_lesions - plain)]
        axes[0, number].imshow(shown[0], cmap="gray", vmin=0, vmax=0.9)
        axes[1, number].imshow(shown[1], cmap="gray", vmin=-CONTRAST, vmax=CONTRAST)
        axes[0, number].set_title(title, fontsize=10)
        for axis in axes[:, number]:
            for row, column, diameter in places:
                middle = (row - rows.start, 2 * reach - 1 - (column - cols.start))
                axis.add_patch(plt.Circle(middle, diameter / 2 + 3, fill=False, color="gold", linewidth=0.8))
            axis.set_xticks([])
            axis.set_yticks([])
    axes[0, 0].set_ylabel("with lesions", fontsize=10)
    axes[1, 0].set_ylabel("what the lesions add", fontsize=10)
    figure.tight_layout(pad=0.4)
    figure.savefig(output)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("head", type=Path, help="file of the head")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="picture")
    options = parser.parse_args(arguments)
    use_threads(1)
    draw(options.head, options.output)


if __name__ == "__main__":
    main()
