"""Calibration and reliability of uncertainty maps, where the reference is known.

An uncertainty map is the half-width of the 90 % prediction interval of every voxel, see `pipeline.inference.error_map`.
The intervals are calibrated on the validation volumes (`pipeline.fidelity.error_intervals`) and evaluated on the test
volumes: the share of voxels whose error is within the interval should equal the level of the interval, over all voxels
and among voxels of similar half-width (reliability: Kuleshov et al., ICML 2018).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.errors import UserError
from pipeline.fidelity.error_intervals import ErrorSample
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import method_of, read_prediction
from pipeline.image.image import Image
from pipeline.image.uncertainty_map import UncertaintyMap
from pipeline.inference.error_map import log_features, unscaled_half_width
from pipeline.models.error_intervals import MAP_LEVEL, ErrorIntervals, Feature
from pipeline.physics.grid import crop_to
from pipeline.physics.interpolation import bspline_matrix, enlarge
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.tables.reliability import ReliabilityBin
from pipeline.tables.uncertainty import UncertaintySummary

logger = logging.getLogger(__name__)

BINS = 10
"""Number of bins with equally many voxels."""
MAX_SAMPLE, MAX_SAMPLES, MIN_SAMPLE = 20_000, 1_000_000, 500
"""Maximum number of voxels of a volume, of all volumes, and of a volume if there are many."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class RestoredFiles:
    """Files of a restored volume.

    Attributes:
        reference: extracted volume.
        low: low-resolution volume.
        prediction: restored volume.
        tta_std: standard deviation over test-time augmentation (TTA).
    """

    reference: Path
    low: Path
    prediction: Path
    tta_std: Path


@dataclass(frozen=True, eq=False)
class RestoredVolume:
    """A restored volume with its reference.

    Attributes:
        reference: extracted volume.
        low: low-resolution volume.
        method: name of the method.
        prediction: restored volume, normalised, of the shape of the reference.
        tta_std: TTA standard deviation of the method.
    """

    reference: Image
    low: LowResolutionImage
    method: str
    prediction: Floats
    tta_std: Image

    def features(self) -> Iterator[tuple[Feature, Floats]]:
        """Yield the features of all voxels; see `log_features`."""
        factors = self.low.forward_model.factors
        interpolated = crop_to(enlarge(self.low.data, factors, bspline_matrix), self.reference.data.shape)
        return log_features(self.prediction, interpolated, self.tta_std.data, factors)

    def errors(self) -> Floats:
        """Return the absolute error of the foreground voxels, shape (voxels,), normalised."""
        return np.abs(self.prediction - self.reference.data)[self.foreground]

    @property
    def foreground(self) -> NDArray[np.bool_]:
        """Voxels that are evaluated."""
        return self.reference.masks["foreground"]


class Bin(NamedTuple):
    """Voxels of similar half-width: mean half-width, mean error, share of errors within the interval, and number."""

    half_width: float
    error: float
    coverage: float
    voxels: int


def read_restored(files: RestoredFiles) -> RestoredVolume:
    """Read a restored volume.

    Raises:
        UserError: a file cannot be read, or belongs to another volume.
    """
    reference, low = read_image(files.reference), read_image(files.low, LowResolutionImage)
    tta_std = read_image(files.tta_std)
    for option, image, shape in (
        ("--tta-std", tta_std, tta_std.data.shape),
        ("--lr", low, low.forward_model.hr_shape),
    ):
        if image.id != reference.id or tuple(shape) != reference.data.shape:
            raise UserError(
                f"{option}: belongs to volume {image.id!r}, but --hr to {reference.id!r}; give both in the same order."
            )
    prediction = read_prediction(files.prediction, reference)
    return RestoredVolume(reference, low, method_of(files.prediction), prediction, tta_std)


def sample_errors(volume: RestoredVolume, count: int) -> ErrorSample:
    """Draw foreground voxels of a volume for the fit of intervals.

    Args:
        volume: the restored volume.
        count: maximum number of voxels.
    """
    places = np.flatnonzero(volume.foreground)
    drawn = np.random.default_rng(0).permutation(len(places))[:count]
    features: dict[Feature, Floats] = {name: values.ravel()[places[drawn]] for name, values in volume.features()}
    identity = volume.reference.identity
    return ErrorSample(identity.id, identity.subject, features, volume.errors()[drawn])


def read_samples(volumes: Sequence[RestoredFiles]) -> list[ErrorSample]:
    """Read validation volumes, one at a time, and draw voxels of each.

    Images that were synthesised from label maps are left out, unless there are no others.

    Raises:
        UserError: a file cannot be read or belongs to another volume, or no volume has a foreground.
    """
    count = min(MAX_SAMPLE, max(MIN_SAMPLE, MAX_SAMPLES // max(1, len(volumes))))
    acquired: list[ErrorSample] = []
    synthetic: list[ErrorSample] = []
    for files in volumes:
        volume = read_restored(files)
        sample = sample_errors(volume, count)
        if len(sample.errors):
            (synthetic if volume.reference.block.synthetic else acquired).append(sample)
    if not acquired and not synthetic:
        raise UserError("--hr: the validation volumes have no foreground; uncertainty maps cannot be calibrated.")
    if acquired and synthetic:
        logger.info("%d images that were synthesised from label maps are left out", len(synthetic))
    return acquired or synthetic


def evaluate_uncertainty(
    volume: RestoredVolume, intervals: ErrorIntervals
) -> tuple[UncertaintyMap, list[ReliabilityBin], list[UncertaintySummary]]:
    """Compute the uncertainty map of a volume, and compare it with the observed errors.

    Args:
        volume: the restored volume.
        intervals: calibrated for the method.

    Returns:
        The map, the bins of half-width, and a summary for every level.
    """
    unscaled = unscaled_half_width(intervals, volume.features())
    data = np.asarray(intervals.scale(MAP_LEVEL) * unscaled, dtype=np.float32)
    uncertainty = UncertaintyMap.of(volume.tta_std.with_data(data), method=volume.method, level=MAP_LEVEL)
    errors, widths = volume.errors(), unscaled[volume.foreground]
    identity = volume.reference.identity
    names = (identity.id, identity.subject, identity.split, volume.method)
    bins = reliability_bins(data[volume.foreground], errors)
    correlation = rank_correlation(widths, errors)
    summaries = [
        UncertaintySummary(
            *names,
            level=level,
            coverage=_mean(errors <= scale * widths),
            half_width=scale * _mean(widths),
            error=_mean(errors),
            spearman=correlation,
            voxels=errors.size,
        )
        for level, scale in intervals.scales
    ]
    return uncertainty, [ReliabilityBin(*names, index, *one) for index, one in enumerate(bins)], summaries


def reliability_bins(half_width: Floats, errors: Floats, bins: int = BINS) -> list[Bin]:
    """Compare errors with half-widths in bins of equally many voxels.

    Args:
        half_width: half-width of the interval of each voxel, shape (voxels,).
        errors: absolute error, of the same shape and unit.
        bins: maximum number of bins; none is empty.

    Returns:
        The bins by rising half-width.
    """
    order = np.argsort(half_width, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order)) or 1) if len(part)]
    return [
        Bin(_mean(half_width[part]), _mean(errors[part]), _mean(errors[part] <= half_width[part]), len(part))
        for part in parts
    ]


def rank_correlation(predicted: Floats, observed: Floats) -> float:
    """Return Spearman's rank correlation; NaN if either is constant."""
    if not len(predicted) or min(np.ptp(predicted), np.ptp(observed)) == 0:
        return float("nan")
    result: Any = stats.spearmanr(predicted, observed)
    return float(result.statistic)


def _mean(values: NDArray) -> float:
    return float(np.mean(values, dtype=np.float64)) if values.size else float("nan")
