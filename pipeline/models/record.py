"""The record that is stored with the weights of a network: its training, and measurements made afterwards."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import JsonValue

from pipeline.config.base import Section
from pipeline.config.parameters import Direction
from pipeline.models.error_intervals import ErrorIntervals


class ConsistencyWeight(NamedTuple):
    """Best weight of the data-consistency step at one noise level.

    Attributes:
        noise_sigma: standard deviation of the noise, as a fraction of the normalised range.
        weight: between 0 (no correction) and 1 (full agreement with the measurement).
    """

    noise_sigma: float
    weight: float


class BackgroundChange(NamedTuple):
    """Change of the foreground where the background beyond a margin is not computed.

    Attributes:
        margin: computed background around the foreground, in low-resolution voxels.
        change: largest absolute change of a foreground voxel, as a fraction of the normalised range.
    """

    margin: int
    change: float


class TrainingDomain(Section):
    """Noise levels, voxel sizes and contrasts of the training data."""

    noise_sigma: tuple[float, float]
    """lowest and highest noise level, as fractions of the normalised range"""
    voxel_mm: tuple[float, float] | None
    """smallest and largest low-resolution voxel along the enlarged axes, in mm; None where it is unknown"""
    foreground_quantiles: tuple[tuple[float, float], ...] = ()
    """lowest and highest 10 %, 50 % and 90 % quantile of the normalised foreground of the training volumes, before any
    change of contrast; none where they are unknown"""


class NetworkRecord(Section):
    """How a network was trained. The defaults are those of a network that was not trained here."""

    method: str | None = None
    """name of the method in its run"""
    direction: Direction | None = None
    """axes of a volume along which the network was trained to enlarge"""
    self_ensemble: Literal[1, 2, 4, 8] = 1
    """flips and transposes of the input over which results are averaged"""
    domain: TrainingDomain | None = None
    """range of the training data; None where it is unknown"""
    consistency_weights: tuple[ConsistencyWeight, ...] = ()
    """weights of the data-consistency step, by rising noise level; none means no correction"""
    background_changes: tuple[BackgroundChange, ...] = ()
    """change of the foreground by margin, by rising margin; none where it was not measured"""
    error_intervals: ErrorIntervals | None = None
    """prediction intervals of the errors, calibrated after the training; None where they were not calibrated"""
    recipe: dict[str, JsonValue] | None = None
    """the recipe of the training, for documentation: nothing is computed from it"""
