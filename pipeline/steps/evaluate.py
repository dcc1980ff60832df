"""Evaluate every method on volumes against the references."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tqdm import tqdm

from pipeline.config.sections import Evaluate
from pipeline.errors import UserError, about
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, read_prediction
from pipeline.metrics.evaluation.measure import ExtraInputs, evaluate, interpolated_lr, needs
from pipeline.metrics.evaluation.regions import DENOISED, UNSEEN
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._framework import section
from pipeline.steps._shards import each, files_of
from pipeline.tables.slices import SLICES, SliceValue

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors)."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    lr: list[Path] = field(default_factory=list)
    """Low-resolution volumes (.safetensors), in the same order; required by some metrics and by the region unseen."""
    features: Path | None = None
    """Feature network (.safetensors, from the step convert_vgg); required by some metrics."""
    denoised: list[Path] = field(default_factory=list)
    """Denoised references, or folders of them (from the step denoise); required by the region denoised."""
    output: Path
    """One row per slice, region, metric and method (.csv)."""
    settings: Annotated[Evaluate, section(Evaluate)] = field(default_factory=Evaluate)
    """Section `evaluate` of the configuration."""


def run(options: Options) -> None:
    """Write the table.

    Raises:
        UserError: a file that a metric or region requires is missing or cannot be read.
    """
    settings = options.settings
    if UNSEEN in settings.regions and len(options.lr) != len(options.hr):
        raise UserError("--lr: evaluate.regions includes unseen; give the low-resolution volume of every reference.")
    if DENOISED in settings.regions and not options.denoised:
        raise UserError("--denoised: evaluate.regions includes denoised; give the output of the step denoise.")
    needed = {extra for extra in ("lr", "features") for metric in settings.metrics if needs(metric, extra)}
    features = None
    if options.features and "features" in needed:
        # The environment for other metrics has no torch.
        from pipeline.models.features import read_features

        features = read_features(options.features)
    rows: list[SliceValue] = []
    for number, path in enumerate(each(options.hr)):
        reference = read_image(path)
        volume = reference.id
        with about(f"volume {volume!r}"):
            denoised = read_image(files_of(volume, options.denoised)[0]) if options.denoised else None
            with_lr = options.lr and (UNSEEN in settings.regions or "lr" in needed)
            measured = read_image(options.lr[number], LowResolutionImage) if with_lr else None
            lr = interpolated_lr(measured, reference) if measured and "lr" in needed else None
            unseen = _unseen_slices(measured) if measured and UNSEEN in settings.regions else []
            for prediction in tqdm(by_method(files_of(volume, options.predictions)), volume, disable=None):
                method, estimate = method_of(prediction), read_prediction(prediction, reference)
                rows.extend(
                    evaluate(reference, method, estimate, settings, denoised, ExtraInputs(lr, features), unseen)
                )
                logger.info("%s: %s evaluated", volume, method)
    SLICES.write(options.output, rows)


def _unseen_slices(lr: LowResolutionImage) -> list[int]:
    """Return the slices that contribute nothing to a low-resolution volume.

    Raises:
        UserError: there are none.
    """
    unseen = lr.forward_model.unseen_slices
    if not unseen:
        raise UserError(
            "every slice contributes to the low-resolution volume, so that none is unseen; leave unseen out of "
            "evaluate.regions, or drop slices: the operator decimation, without a blur across the slices before it."
        )
    return unseen
