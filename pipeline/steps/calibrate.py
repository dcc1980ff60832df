"""Calibrate the uncertainty maps of a method on the validation volumes.

The calibration factor converts TTA standard deviations to expected absolute errors: pipeline/fidelity/uncertainty.py.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from pipeline.fidelity.uncertainty import calibrate, read_errors
from pipeline.formats.io.container import map_image
from pipeline.inference.calibration import write_calibration
from pipeline.steps._shards import files_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted validation volumes (.safetensors)."""
    predictions: list[Path]
    """Volumes restored by the delivered method, or folders of them."""
    tta_std: list[Path]
    """Standard deviations over flips and transposes, or folders of them (.safetensors)."""
    output: Path
    """The calibration factor (.json)."""


def run(options: Options) -> None:
    """Write the calibration factor."""
    volumes = [map_image(path).id for path in options.hr]
    calibration = calibrate(
        read_errors(
            (hr, files_of(volume, options.predictions)[0], files_of(volume, options.tta_std)[0])
            for hr, volume in zip(options.hr, volumes, strict=True)
        )
    )
    write_calibration(options.output, calibration)
    logger.info("expected absolute error: %.3g times the TTA standard deviation", calibration.factor)
