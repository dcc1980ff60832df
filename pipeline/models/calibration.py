"""Calibration of uncertainty maps, in a file of a run: the prediction intervals of one network."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from pipeline.config.base import Section
from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.models.error_intervals import ErrorIntervals


class Calibration(Section):
    """Prediction intervals of one network, calibrated on the validation volumes of its run."""

    method: str
    """name of the method"""
    generator_sha256: str
    """SHA-256 of the network's file"""
    intervals: ErrorIntervals


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON, atomically."""
    write_json(path, calibration.model_dump(mode="json"))


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises:
        UserError: the file is not a calibration, or was written by an earlier version.
    """
    content = read_json(path)
    if isinstance(content, dict) and "factor" in content:
        raise UserError(
            f"{path}: was written by an earlier version of BrainSR, which calibrated the mean error, not intervals; "
            "run the workflow again."
        )
    try:
        return Calibration.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        raise UserError(
            f"{path}: is not a calibration ({place}: {first['msg']}); delete it and run the workflow again."
        ) from error


def intervals_for(path: Path, generator: Path, generator_sha256: str) -> ErrorIntervals:
    """Return the intervals of a calibration file for a network.

    Args:
        path: uncertainty/calibration.json of a run.
        generator: the network's file.
        generator_sha256: SHA-256 of this file.

    Raises:
        UserError: the file is not a calibration, or that of another network.
    """
    calibration = read_calibration(path)
    if calibration.generator_sha256 != generator_sha256:
        raise UserError(
            f"--calibration: {path} belongs to another network ({calibration.method}), not to {generator}; name the "
            "calibration of the same run."
        )
    return calibration.intervals
