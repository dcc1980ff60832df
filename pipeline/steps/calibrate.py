"""Calibrate the uncertainty maps of a method on the validation volumes.

The result contains the prediction intervals of the errors of the method: pipeline/fidelity/error_intervals.py.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from pipeline.fidelity.error_intervals import fit_intervals
from pipeline.fidelity.uncertainty import RestoredFiles, read_samples
from pipeline.files import sha256_of
from pipeline.formats.io.container import map_image
from pipeline.formats.io.predictions import method_of
from pipeline.models.calibration import Calibration, write_calibration
from pipeline.steps._shards import files_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    model: Path
    """generator.safetensors of the delivered method."""
    hr: list[Path]
    """Extracted validation volumes (.safetensors)."""
    lr: list[Path]
    """Low-resolution validation volumes, in the same order (.safetensors)."""
    predictions: list[Path]
    """Volumes restored by the delivered method, or folders of them."""
    tta_std: list[Path]
    """Standard deviations over flips and transposes, or folders of them (.safetensors)."""
    output: Path
    """The calibration (.json)."""


def run(options: Options) -> None:
    """Write the calibration."""
    files = [
        RestoredFiles(
            hr, lr, *(files_of(map_image(hr).id, paths)[0] for paths in (options.predictions, options.tta_std))
        )
        for hr, lr in zip(options.hr, options.lr, strict=True)
    ]
    intervals = fit_intervals(read_samples(files))
    method = method_of(files[0].prediction)
    write_calibration(
        options.output, Calibration(method=method, generator_sha256=sha256_of(options.model), intervals=intervals)
    )
    logger.info("intervals calibrated on: %s", ", ".join(intervals.subjects))
    if len(intervals.subjects) == 1:
        logger.warning("calibrated on a single person: the coverage on other persons may differ from the nominal one")
