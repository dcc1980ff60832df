"""Draw docs/several-scans.png: single scans, their mean, the combined volume and the reference, side by side.

    python -m benchmarks.combined_figure REFERENCE COMBINED SCAN SCAN ... --figure docs/several-scans.png

All are NIfTI files; COMBINED is the output of `brainsr combine`, with its record (.json) beside it, on the grid of
REFERENCE.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from scipy import ndimage

from pipeline.files import read_json
from pipeline.image.rigid import Rigid
from pipeline.inference.restore_file import split_suffix

TITLES = {0: "sagittal", 1: "coronal", 2: "axial"}
PLACE = 0.42
"""Position of the slices along each axis, as a fraction of the volume."""


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("combined", type=Path)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--figure", type=Path, required=True)
    options = parser.parse_args()
    reference, combined = (nib.as_closest_canonical(nib.load(path)) for path in (options.reference, options.combined))
    stem, _ = split_suffix(options.combined)
    record = read_json(options.combined.with_name(f"{stem}.json"))
    columns = {}
    for path, one in zip(options.scans, record["scans"], strict=True):
        scan = nib.as_closest_canonical(nib.load(path))
        motion = Rigid.from_json(one["motion"])
        matrix = np.linalg.inv(scan.affine) @ motion.matrix() @ reference.affine
        data = ndimage.affine_transform(
            scan.get_fdata(dtype=np.float32), matrix, output_shape=reference.shape, order=3, mode="nearest"
        )
        columns[f"{TITLES[one['slice_axis']]} slices of {one['thickness_mm']:.1f} mm"] = data / np.percentile(
            data, 99.8
        )
    columns["mean of the scans"] = np.mean(list(columns.values()), axis=0)
    for title, image in (("brainsr combine", combined), ("reference", reference)):
        data = image.get_fdata(dtype=np.float32)
        columns[title] = data / np.percentile(data, 99.8)
    figure, axes = plt.subplots(2, len(columns), figsize=(2.1 * len(columns), 4.4), layout="constrained")
    for row, axis in enumerate((1, 0)):
        for place, (title, data) in enumerate(columns.items()):
            shown = np.take(data, round(PLACE * data.shape[axis]), axis)
            axes[row, place].imshow(shown.T[::-1], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes[row, place].set_axis_off()
            if row == 0:
                axes[row, place].set_title(title, fontsize=7)
    figure.savefig(options.figure, dpi=110)


if __name__ == "__main__":
    main()
