"""Measures every method on a volume, slice by slice, against the truth."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline import plugins
from pipeline.cli import ArgumentParser, Namespace, add_path, add_settings, show_progress
from pipeline.config.load import read_section
from pipeline.config.stages import Evaluate
from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.image.container import read_image
from pipeline.image.image import Image
from pipeline.image.predictions import read_prediction
from pipeline.metrics._range import data_range

logger = logging.getLogger(__name__)


NEIGHBOURS, DENOISED = "neighbours", "denoised"
"""The regions whose measures are taken against another reference than the truth."""


class Measurement(NamedTuple):
    """One row of a table of slices."""

    volume: str
    subject: str
    split: str
    method: str
    region: str
    metric: str
    slice: int
    value: float


def region_mask(truth: Image, region: str) -> NDArray[np.bool_]:
    """Returns the voxels of a region, of the shape of the truth: its mask of that name, or all for `whole`.

    Pictures of several sizes share a stack; there the whole is the picture, without what fills the stack up.
    """
    if region == "whole":
        return truth.masks.get("picture", np.ones(truth.data.shape, dtype=bool))
    return truth.masks[region]


def measure(truth: Image, estimate: NDArray[np.floating], metric: str, region: str) -> Iterator[tuple[int, float]]:
    """Measures the slices with enough foreground; slices without a voxel of the region are left out.

    Args:
        truth: extracted volume.
        estimate: normalised intensities, of the same shape.
        metric: name of a module of pipeline.metrics.
        region: "whole" or a mask of the truth.

    Yields:
        Index of the slice in the volume, and its value.
    """
    per_slice = plugins.load("pipeline.metrics", metric).per_slice
    axis, full = truth.facts["slice_axis"], data_range(truth)
    volumes = [np.moveaxis(volume, axis, 0) for volume in (truth.data, estimate, region_mask(truth, region))]
    for index in truth.facts["foreground_slices"]:
        one, other, mask = (volume[index] for volume in volumes)
        if mask.any():
            yield index, per_slice(one, other, mask, full)


def neighbours(truth: Image) -> Image:
    """Returns the mean of the slices before and after each one; the first and last slice have one neighbour alone.

    In serial sections, noise is another in every section while structures go on. An estimate that is nearer to the
    neighbours than the truth itself holds less noise than the truth. Not for stacks of unrelated pictures.

    Raises:
        UserError: the volume has a single slice.
    """
    axis = truth.facts["slice_axis"]
    slices = np.moveaxis(np.asarray(truth.data), axis, 0)
    if len(slices) == 1:
        raise UserError(f"volume {truth.facts['id']!r}: a single slice has no neighbours (evaluate.regions).")
    before, after = np.concatenate([slices[1:2], slices[:-1]]), np.concatenate([slices[1:], slices[-2:-1]])
    return truth.with_data(np.moveaxis((before + after) / 2, 0, axis))


def evaluate(
    truth: Image, method: str, estimate: NDArray[np.floating], settings: Evaluate, reference: Image | None = None
) -> Iterator[Measurement]:
    """Measures one method on one volume: all metrics over all regions; arguments as in `measure`.

    Args:
        truth: extracted volume.
        method: what made the estimate.
        estimate: normalised intensities, of the same shape.
        settings: the section `evaluate`.
        reference: the denoised truth, for the region "denoised".
    """
    volume, subject, split = (truth.facts[name] for name in ("id", "subject", "split"))
    for region in settings.regions:
        compared, where = truth, region
        if region in (NEIGHBOURS, DENOISED):
            compared, where = neighbours(truth) if region == NEIGHBOURS else reference, "foreground"
        assert compared is not None
        for metric in settings.metrics:
            for index, value in measure(compared, estimate, metric, where):
                yield Measurement(volume, subject, split, method, region, metric, index, value)


def method_of(prediction: Path) -> str:
    """Returns the method that made a prediction: the name of its folder."""
    return prediction.resolve().parent.name


def by_method(predictions: Sequence[Path]) -> list[Path]:
    """Returns predictions in the order of their methods' names.

    Raises:
        UserError: two belong to one method.
    """
    ordered = sorted(predictions, key=method_of)
    for one, other in pairwise(ordered):
        if method_of(one) == method_of(other):
            raise UserError(f"{one} and {other} belong to the same method; give one file a method.")
    return ordered


def write_measurements(path: Path, rows: Iterable[Measurement]) -> None:
    """Writes rows as CSV with nine significant digits, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Measurement._fields)
    writer.writerows((*row[:-1], f"{row.value:.9g}") for row in rows)
    write_text(path, text.getvalue())


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options of this stage."""
    add_path(parser, "--hr", "extracted volume: the truth (.safetensors)")
    add_path(parser, "--predictions", "restored volumes, each in a folder named after its method", many=True)
    text = "the truth as the stage denoise made it; the region denoised needs it"
    parser.add_argument("--denoised", type=Path, nargs="*", default=[], metavar="PATH", help=text)
    add_path(parser, "--output", "one row a slice, region, metric and method (.csv)")
    add_settings(parser, Evaluate)


def main(arguments: Namespace) -> None:
    """Runs the stage."""
    settings = read_section(Evaluate, arguments.settings)
    truth = read_image(arguments.hr)
    if DENOISED in settings.regions and not arguments.denoised:
        raise UserError("--denoised: evaluate.regions names denoised; give the file that the stage denoise wrote.")
    reference = read_image(arguments.denoised[0]) if arguments.denoised else None
    rows: list[Measurement] = []
    for path in tqdm(by_method(arguments.predictions), truth.facts["id"], disable=not show_progress()):
        rows.extend(evaluate(truth, method_of(path), read_prediction(path, truth), settings, reference))
        logger.info("%s: %s measured", truth.facts["id"], method_of(path))
    write_measurements(arguments.output, rows)
