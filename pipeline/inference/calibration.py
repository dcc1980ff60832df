"""Calibration of uncertainty maps: the expected absolute error per TTA standard deviation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files import read_json, write_json

MAX_FACTOR = 1e6
"""Upper bound of plausible factors: no TTA standard deviation is that much smaller than the error."""


@dataclass(frozen=True)
class Calibration:
    """Calibration of one method on the validation volumes; intensities are normalised.

    Attributes:
        factor: mean absolute error over mean TTA standard deviation; 0 if the standard deviation is zero everywhere.
        mean_tta_std: mean TTA standard deviation over the foreground.
        mean_absolute_error: mean absolute error over the foreground.
        voxels: number of foreground voxels.
        volumes: names of the validation volumes.
    """

    factor: float
    mean_tta_std: float
    mean_absolute_error: float
    voxels: int
    volumes: tuple[str, ...]


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON, atomically."""
    write_json(path, asdict(calibration))


def read_factor(path: Path) -> float:
    """Read the factor of a calibration.

    Raises:
        UserError: the file is not a calibration.
    """
    content = read_json(path)
    if not isinstance(content, dict) or "factor" not in content:
        raise UserError(f"{path}: is not a calibration; delete it and run the step calibrate again.")
    factor = content["factor"]
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < MAX_FACTOR:
        raise UserError(f"{path}: the factor must be a number above 0, not {factor!r}; run the step calibrate again.")
    return float(factor)
