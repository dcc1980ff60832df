"""Check whether restored images are consistent with their low-resolution input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pipeline.config.planes import PlaneChoice


def gate(
    *,
    lr: Path,
    predictions: Annotated[list[Path], Parameter(consume_multiple=True)],
    forward_model: Path | None = None,
    output: Path | None = None,
    plane: PlaneChoice = "auto",
    foreground: Literal["head", "all"] = "head",
    noise_sigma: float | None = None,
) -> None:
    """Check whether restored images are consistent with their low-resolution input.

    Each restored image is degraded again by the forward model and compared with the low-resolution input within its
    noise. Four gates are applied: residual (power beyond the noise), local (added or removed structures of lesion
    size), shift (in voxels of the result) and intensity (changed gamma, gain or offset). A value above its limit
    fails. No reference is needed. Details finer than the resolution of the input cannot be checked.

    The forward model of an image from a scanner is unknown. Give the one that the network was trained with, such as
    results/demo/degraded/mni152.forward.json.

    Args:
        lr: the low-resolution input: an image, or a volume of a run (.safetensors).
        predictions: the restored images.
        forward_model: forward model of an image that is not a volume of a run (.forward.json).
        output: table to write the results to (.csv); they are always printed.
        plane: plane of the slices.
        foreground: head: segment the head from the background; all: use the whole image.
        noise_sigma: noise level as a fraction of the intensity range; by default it is estimated.
    """
    from pipeline.config.sections import Extract
    from pipeline.fidelity.gate.measurement import read_measurement
    from pipeline.fidelity.gate.volumes import check_prediction
    from pipeline.formats.io.predictions import by_method, method_of
    from pipeline.tables.gates import GATES

    image = read_measurement(lr, forward_model, Extract(plane=plane, foreground=foreground), noise_sigma)
    results = []
    for path in by_method(predictions):
        for result in check_prediction(image, method_of(path), path):
            sys.stdout.write(f"{result}\n")
            results.append(result)
    if output:
        GATES.write(output, results)
