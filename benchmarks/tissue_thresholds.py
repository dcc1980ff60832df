"""Causes of differences in tissue volumes after restoration: changed voxels or changed thresholds.

    python -m benchmarks.tissue_thresholds --run results/demo --volume mni152

The step tissue computes the thresholds from every image, as a user has no reference. This script prints the resulting
volumes for every method, and those with the thresholds of the reference: the difference is due to the thresholds alone.
The cubic B-spline interpolation of the noiseless input is included to show the effect of lost resolution.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.baselines import bspline3
from pipeline.fidelity.tissue import CLASSES, MICROLITRES, class_thresholds
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import prediction_path, read_prediction, restored_image, suffix_of
from pipeline.image.image import MILLIMETRES, Image
from pipeline.physics.low_resolution import LowResolutionImage

REFERENCE = "reference"


def images(run: Path, volume: str, reference: Image) -> dict[str, NDArray[np.floating]]:
    """Return the reference, the results of all methods, and the interpolated noiseless input."""
    lr = read_image(run / f"degraded/{volume}.safetensors", LowResolutionImage)
    model = lr.forward_model
    clean = bspline3.upsample(model.coarsen(reference.data), model, {})
    found = {REFERENCE: reference.data, "bspline3, no noise": restored_image(lr, clean).data}
    for folder in sorted((run / "predictions").iterdir()):
        path = prediction_path(run / "predictions", folder.name, volume, suffix_of(lr))
        found[folder.name] = read_prediction(path, reference)
    return found


def main() -> None:
    """Print one row per method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run, such as results/demo")
    parser.add_argument("--volume", required=True, help="a head or brain of the run")
    arguments = parser.parse_args()
    reference = read_image(arguments.run / f"extracted/{arguments.volume}.safetensors")
    mask = reference.masks["foreground"]
    millilitres = math.prod(MILLIMETRES[reference.unit] * length for length in reference.spacing) / MICROLITRES
    limits = class_thresholds(reference.data[mask])
    of_reference = np.digitize(reference.data[mask], limits)
    rows: dict[str, dict[str, Any]] = {}
    for name, image in images(arguments.run, arguments.volume, reference).items():
        values = image[mask]
        own = class_thresholds(values)
        rows[name] = {
            **{f"threshold {index}": limit for index, limit in enumerate(own, start=1)},
            **{f"class {kind}, ml": millilitres * np.sum(np.digitize(values, own) == kind) for kind in range(CLASSES)},
            **{
                f"class {kind} by the reference's thresholds, ml": millilitres
                * np.sum(np.digitize(values, limits) == kind)
                for kind in range(CLASSES)
            },
            **{f"mean where the reference is {kind}": values[of_reference == kind].mean() for kind in range(CLASSES)},
        }
    table = pd.DataFrame(rows).T
    sys.stdout.write(f"{table.round(3).T.to_string()}\n")


if __name__ == "__main__":
    main()
