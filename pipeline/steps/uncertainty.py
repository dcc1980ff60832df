"""Make the error map of a volume, and says how well it tells the true error.

The map is where the delivered method disagrees with itself over the eight flips and transposes of each slice: a
standard deviation, in normalised intensities. Multiplied by the factor that was found on the validation volumes, which
it records, it can be read as the absolute error that is to be expected. The tables say how far that holds here.
"""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path

import pandas as pd

from pipeline.fidelity.error_calibration import rank_correlation, reliability_curve
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import method_of, read_prediction
from pipeline.image.image import Image
from pipeline.image.uncertainty_map import UncertaintyMap
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_table
from pipeline.steps.calibrate import compared, read_factor
from pipeline.tables.reliability import RELIABILITY
from pipeline.tables.uncertainty import UNCERTAINTY

logger = logging.getLogger(__name__)


def tables(reference: Image, method: str, prediction: Path, spread: Image, factor: float) -> tuple[pd.DataFrame, ...]:
    """Compare predicted with true errors of one volume, both as fractions of the normalised range.

    Args:
        reference: extracted volume.
        method: what restored it.
        prediction: its result.
        spread: its disagreement over views.
        factor: what makes an expected absolute error of that.

    Returns:
        The reliability curve, one row a bin (`ReliabilityBin`), and one row over all bins (`UncertaintySummary`).

    Raises:
        UserError: a file cannot be read, or is of another volume.
    """
    identity = reference.identity
    volume, subject, split = identity.id, identity.subject, identity.split
    names = (volume, subject, split, method)
    found, error = compared(reference, read_prediction(prediction, reference), spread)
    predicted = factor * found
    curve = [(*names, index, *one) for index, one in enumerate(reliability_curve(predicted, error))]
    means = (float(predicted.mean()), float(error.mean()))
    summary = [(*names, rank_correlation(predicted, error), factor, *means, error.size)]
    return (
        pd.DataFrame(curve, columns=pd.Index(RELIABILITY.columns)),
        pd.DataFrame(summary, columns=pd.Index(UNCERTAINTY.columns)),
    )


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--hr", "extracted volume: the reference (.safetensors)", each_volume=True)
    add_path(parser, "--prediction", "the delivered restoration, in a folder named after its method", each_volume=True)
    add_path(parser, "--spread", "the method's disagreement over views (.safetensors)", each_volume=True)
    add_path(parser, "--calibration", "the factor that the stage calibrate found (.json)")
    add_path(parser, "--output", "the map, with the factor (.safetensors)", each_volume=True)
    add_table(parser, "--reliability", "predicted and true error, one row a bin (.csv)")
    add_table(parser, "--summary", "rank correlation and means (.csv)")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    reference, spread, factor = (
        read_image(arguments.hr),
        read_image(arguments.spread),
        read_factor(arguments.calibration),
    )
    method = method_of(arguments.prediction)
    curve, summary = tables(reference, method, arguments.prediction, spread, factor)
    shared = {one.name: getattr(spread, one.name) for one in fields(Image)}
    write_image(arguments.output, UncertaintyMap(**shared, method=method, error_factor=factor))
    RELIABILITY.write(arguments.reliability, curve)
    UNCERTAINTY.write(arguments.summary, summary)
    logger.info("%s: rank correlation %.2f with the true error", reference.id, summary["spearman"].iloc[0])
