"""Images that are synthesised from a label map for the training of networks, with the labels.

    python -m benchmarks.synthesis_figure training_seg_19.nii.gz --output docs/synthesis.png

The file is one of the label maps of SynthSeg (Apache-2.0), which are known sources. Each image is drawn as for a patch
that covers the whole slice.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from pipeline.formats import format_of
from pipeline.physics.grid import Cut
from pipeline.training.slabs import WHOLE
from pipeline.training.synthesis.image import draw_patch_image
from pipeline.training.synthesis.label_map import LabelMap

AXIAL = Cut(2, 0, 1)
SEEDS = range(7)
MARGIN = 8


def draw(path: Path, output: Path) -> None:
    """Write the figure.

    Args:
        path: file of the label map.
        output: picture.
    """
    image = format_of(path).read(path)
    labels = np.asarray(image.data).astype(np.int16)
    index = int(np.argmax((labels > 0).sum(axis=(0, 1))))
    label_map = LabelMap(labels, image.spacing_mm)
    shape = labels.shape[:2]
    rows, columns = (slice(max(0, kept[0] - MARGIN), kept[-1] + MARGIN) for kept in map(np.flatnonzero, _edges(labels)))
    panels = [
        draw_patch_image(label_map, AXIAL, index, WHOLE, shape, np.random.default_rng(seed)).read([index], WHOLE)[0]
        for seed in SEEDS
    ]
    figure, axes = plt.subplots(2, 4, figsize=(9, 5.6), dpi=110, layout="constrained")
    shuffled = np.random.default_rng(0).permutation(labels.max() + 1)
    shown = labels[rows, columns, index]
    colours = np.where(shown > 0, shuffled[shown], np.nan)
    axes.flat[0].imshow(colours.T[::-1], cmap="nipy_spectral", interpolation="nearest")
    axes.flat[0].set_title("label map", fontsize="medium")
    for place, panel in zip(axes.flat[1:], panels, strict=True):
        place.imshow(panel[rows, columns].T[::-1], cmap="gray", vmin=0, vmax=1)
    for place in axes.flat:
        place.set_axis_off()
    figure.savefig(output)


def _edges(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    head = labels > 0
    return head.any(axis=(1, 2)), head.any(axis=(0, 2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the figure of the file that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="label map")
    parser.add_argument("--output", type=Path, default=Path("docs/synthesis.png"), help="picture")
    given = parser.parse_args(arguments)
    draw(given.labels, given.output)


if __name__ == "__main__":
    main()
