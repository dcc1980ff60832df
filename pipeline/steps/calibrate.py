"""Finds, on the validation volumes alone, by what the disagreement of a network is to be multiplied.

The product is the absolute error that one has to expect, see pipeline/fidelity/error_calibration.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.fidelity.error_calibration import Sums, calibration_factor, sums_of
from pipeline.files import read_json, write_json
from pipeline.formats.io.container import map_image, read_image
from pipeline.formats.io.predictions import read_prediction
from pipeline.image.image import Image
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

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


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--hr", "extracted validation volumes (.safetensors)", many=True)
    add_path(parser, "--predictions", "their restorations by one method, in the same order", many=True)
    add_path(parser, "--spreads", "its disagreement over views, in the same order (.safetensors)", many=True)
    add_path(parser, "--output", "the factor (.json)")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    lists: Sequence[list[Path]] = (arguments.hr, arguments.predictions, arguments.spreads)
    if len({len(one) for one in lists}) > 1:
        raise UserError("--hr, --predictions and --spreads need as many files each, in the same order.")
    sums = calibrate(zip(*lists, strict=True))
    content = {
        "factor": calibration_factor(sums),
        "mean_spread": sums.spread / max(sums.voxels, 1),
        "mean_absolute_error": sums.error / max(sums.voxels, 1),
        "voxels": sums.voxels,
        "volumes": [map_image(path).id for path in arguments.hr],
    }
    write_json(arguments.output, content)
    logger.info("a standard deviation of 1 stands for an absolute error of %.3g", content["factor"])
