"""Calibrate the error maps on the validation volumes.

The standard deviation of a network's results over flips and transposes, times the calibration factor, is the expected
absolute error; see pipeline/fidelity/error_calibration.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.fidelity.error_calibration import Sums, calibration_factor, sums_of
from pipeline.files import read_json, write_json
from pipeline.formats.io.container import map_image, read_image
from pipeline.formats.io.predictions import read_prediction
from pipeline.image.image import Image
from pipeline.steps._shards import files_of

logger = logging.getLogger(__name__)


LARGEST_FACTOR = 1e6
"""No network's standard deviation over its views is that much smaller than its error."""


def compared(reference: Image, prediction: NDArray[np.floating], spread: Image) -> tuple[NDArray, NDArray]:
    """Return spread and absolute error of the foreground of a volume, normalised, shape (voxels,) each.

    Args:
        reference: extracted volume.
        prediction: what the method made of it, normalised, of the same shape.
        spread: the method's disagreement over views, as the stage infer wrote it.

    Raises:
        UserError: the files are not of one volume.
    """
    if spread.id != reference.id or spread.data.shape != reference.data.shape:
        raise UserError(f"--spread: is of volume {spread.id!r}, but --hr of {reference.id!r}; pair them.")
    mask = reference.masks["foreground"]
    return spread.data[mask], np.abs(prediction - reference.data)[mask]


def calibrate(triples: Iterable[tuple[Path, Path, Path]]) -> Sums:
    """Add up spread and error over volumes.

    Args:
        triples: reference, prediction and spread of each volume.

    Raises:
        UserError: a file cannot be read, or is of another volume.
    """
    total = Sums(0.0, 0.0, 0)
    for hr, prediction, spread in triples:
        reference = read_image(hr)
        one = sums_of(*compared(reference, read_prediction(prediction, reference), read_image(spread)))
        total = Sums(total.spread + one.spread, total.error + one.error, total.voxels + one.voxels)
    return total


def read_factor(path: Path) -> float:
    """Read the factor that this stage wrote.

    Raises:
        UserError: the file is no calibration.
    """
    content = read_json(path)
    if not isinstance(content, dict) or "factor" not in content:
        raise UserError(f"{path}: holds no calibration; delete it and run the stage calibrate again.")
    factor = content["factor"]
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < LARGEST_FACTOR:
        raise UserError(f"{path}: the factor must be a number above 0, not {factor!r}; run the stage calibrate again.")
    return float(factor)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted validation volumes (.safetensors)."""
    predictions: list[Path]
    """Volumes as the delivered method restored them, or folders of them."""
    tta_std: list[Path]
    """Standard deviations over flips and transposes, or folders of them (.safetensors)."""
    output: Path
    """The calibration factor (.json)."""


def run(options: Options) -> None:
    """Write the calibration factor."""
    volumes = [map_image(path).id for path in options.hr]
    sums = calibrate(
        (hr, files_of(volume, options.predictions)[0], files_of(volume, options.tta_std)[0])
        for hr, volume in zip(options.hr, volumes, strict=True)
    )
    content = {
        "factor": calibration_factor(sums),
        "mean_spread": sums.spread / max(sums.voxels, 1),
        "mean_absolute_error": sums.error / max(sums.voxels, 1),
        "voxels": sums.voxels,
        "volumes": volumes,
    }
    write_json(options.output, content)
    logger.info("expected absolute error: %.3g times the standard deviation", content["factor"])
