"""Calibrate the uncertainty maps of a method on the validation volumes.

The calibration factor turns TTA standard deviations into expected absolute errors: pipeline/fidelity/uncertainty.py.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UserError
from pipeline.fidelity.uncertainty import calibrate, read_errors
from pipeline.inference.calibration import write_calibration
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

logger = logging.getLogger(__name__)


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
    calibration = calibrate(read_errors(zip(*lists, strict=True)))
    write_calibration(arguments.output, calibration)
    logger.info("expected absolute error: %.3g times the TTA standard deviation", calibration.factor)
