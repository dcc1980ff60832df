"""Evaluate every method on a volume against the reference."""

from __future__ import annotations

import logging
from pathlib import Path

from tqdm import tqdm

from pipeline.config.load import read_section
from pipeline.config.sections import Evaluate
from pipeline.errors import UserError
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, read_prediction
from pipeline.image.image import Image
from pipeline.metrics._features import read_features
from pipeline.metrics.evaluation.measure import ExtraInputs, evaluate, interpolated_lr, needs
from pipeline.metrics.evaluation.regions import DENOISED
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings, add_table
from pipeline.tables.slices import SLICES, SliceValue

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--hr", "extracted volume: the reference (.safetensors)", each_volume=True)
    text = "restored volumes, each in a folder named after its method"
    add_path(parser, "--predictions", text, many=True, each_volume=True)
    text = "its low-resolution volume (.safetensors); some metrics need it"
    add_path(parser, "--lr", text, required=False, each_volume=True)
    text = "a VGG, as the stage features wrote it (.safetensors); some metrics need it"
    parser.add_argument("--features", type=Path, nargs="*", default=[], metavar="PATH", help=text)
    text = "the reference as the stage denoise made it; the region denoised needs it"
    parser.each_volume(
        parser.add_argument("--denoised", type=Path, nargs="*", default=[], metavar="PATH", help=text), many=True
    )
    add_table(parser, "--output", "one row a slice, region, metric and method (.csv)")
    add_settings(parser, Evaluate)


def _extra_inputs(arguments: Namespace, settings: Evaluate, reference: Image) -> ExtraInputs:
    """Read the further inputs that the metrics need and that were given."""
    needed = {extra for extra in ("lr", "features") for metric in settings.metrics if needs(metric, extra)}
    return ExtraInputs(
        lr=interpolated_lr(read_image(arguments.lr, LowResolutionImage), reference)
        if arguments.lr and "lr" in needed
        else None,
        features=read_features(arguments.features[0]) if arguments.features and "features" in needed else None,
    )


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = read_section(Evaluate, arguments.settings)
    reference = read_image(arguments.hr)
    if DENOISED in settings.regions and not arguments.denoised:
        raise UserError("--denoised: evaluate.regions names denoised; give the file of the step denoise.")
    denoised = read_image(arguments.denoised[0]) if arguments.denoised else None
    extra = _extra_inputs(arguments, settings, reference)
    rows: list[SliceValue] = []
    for path in tqdm(by_method(arguments.predictions), reference.id, disable=None):
        rows.extend(evaluate(reference, method_of(path), read_prediction(path, reference), settings, denoised, extra))
        logger.info("%s: %s evaluated", reference.id, method_of(path))
    SLICES.write(arguments.output, rows)
