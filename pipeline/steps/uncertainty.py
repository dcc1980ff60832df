"""Make the error map of a volume, and says how well it tells the true error.

The map is where the delivered method disagrees with itself over the eight flips and transposes of each slice: a
standard deviation, in normalised intensities. Multiplied by the factor that was found on the validation volumes, which
it records, it can be read as the absolute error that is to be expected. The tables say how far that holds here.
"""

from __future__ import annotations

import logging
from dataclasses import fields

from pipeline.fidelity.uncertainty import evaluate_uncertainty
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import method_of, read_prediction
from pipeline.image.image import Image
from pipeline.image.uncertainty_map import UncertaintyMap
from pipeline.inference.calibration import read_factor
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_table
from pipeline.tables.reliability import RELIABILITY
from pipeline.tables.uncertainty import UNCERTAINTY

logger = logging.getLogger(__name__)


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
    prediction = read_prediction(arguments.prediction, reference)
    curve, summary = evaluate_uncertainty(reference, method, prediction, spread, factor)
    shared = {one.name: getattr(spread, one.name) for one in fields(Image)}
    write_image(arguments.output, UncertaintyMap(**shared, method=method, error_factor=factor))
    RELIABILITY.write(arguments.reliability, curve)
    UNCERTAINTY.write(arguments.summary, [summary])
    logger.info("%s: rank correlation %.2f with the true error", reference.id, summary.spearman)
