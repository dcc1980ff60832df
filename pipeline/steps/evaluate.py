"""Measure every method on a volume, slice by slice or as a whole, against the reference.

Where a slice has several channels, or a picture colours, each of them is measured and the mean is taken: they show the
same place, so that they are no further slices to whoever counts on these being apart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline import plugins
from pipeline.baselines import bspline3
from pipeline.config.sections import Evaluate
from pipeline.errors import UserError, about
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import read_prediction, restored_image
from pipeline.image.image import Image
from pipeline.image.segmentation import label_regions
from pipeline.metrics._features import Features, read_features
from pipeline.metrics._range import data_range
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._framework import section
from pipeline.steps._shards import each, files_of
from pipeline.tables.slices import SLICES, WHOLE_VOLUME, SliceValue

logger = logging.getLogger(__name__)

METRICS = "pipeline.metrics"
NEIGHBOURS, DENOISED = "neighbours", "denoised"
"""The regions whose measures are taken against another reference than the reference."""
LABELS = "labels"
"""Stands for the regions of a segmentation."""


def region_mask(reference: Image, region: str) -> NDArray[np.bool_]:
    """Return the voxels of a region, of the shape of the reference: its mask of that name, or all for `whole`.

    Pictures of several sizes share a stack; there the whole is the picture, without what fills the stack up.
    """
    if region == "whole":
        return reference.masks.get("picture", np.ones(reference.data.shape, dtype=bool))
    return reference.masks[region]


@dataclass(frozen=True)
class Aids:
    """What some metrics ask for beside reference and estimate, see `pipeline.metrics`.

    Attributes:
        measured: the low-resolution image on the grid of the reference, see `on_grid`; None where no metric needs it.
        features: a VGG; None where no metric needs it.
    """

    measured: NDArray[np.floating] | None = None
    features: Features | None = None


NO_AIDS = Aids()

Made = dict[tuple[Callable[..., Any], str, int], Any]
"""Results that several metrics share, by the function that made them, the region and the slice."""


def on_grid(lr_image: LowResolutionImage, reference: Image) -> NDArray[np.floating]:
    """Return a low-resolution image interpolated by cubic B-splines to the grid of its reference, normalised.

    Raises:
        UserError: it is another volume's.
    """
    name, other = reference.id, lr_image.id
    if name != other:
        raise UserError(f"--lr: is volume {other!r}, but the reference is {name!r}; give the same volume's.")
    factors = lr_image.forward_model.factors
    return restored_image(lr_image, bspline3.upsample(lr_image.data, factors, {})).data


def needs(metric: str, aid: str) -> bool:
    """Return whether a metric asks for one of the `Aids`, such as "measured"."""
    return getattr(plugins.load(METRICS, metric), f"NEEDS_{aid.upper()}", False)


def measure(
    reference: Image,
    estimate: NDArray[np.floating],
    metric: str,
    masks: Mapping[str, NDArray[np.bool_]],
    aids: Aids = NO_AIDS,
    made: Made | None = None,
) -> Iterator[tuple[str, int, float]]:
    """Measure slice by slice, the volume as a whole, or both, whatever the metric offers.

    Of single slices, those with enough foreground are measured; of the whole, all. Where a region has no voxel, there
    is no value. Stacks of pictures that have nothing to do with each other are no volume as a whole.

    Args:
        reference: extracted volume.
        estimate: normalised intensities, of the same shape.
        metric: name of a module of pipeline.metrics.
        masks: the regions, of the same shape, by name.
        aids: what the metric may ask for.
        made: what other metrics of the same reference and estimate have computed; see `SHARED` in `pipeline.metrics`.

    Yields:
        Name of the region, index of the slice in the block (WHOLE_VOLUME for the volume as a whole), and the value: the
        mean over the channels where there are several.

    Raises:
        UserError: the metric asks for what is not there, or cannot measure slices of this size.
    """
    found: dict[tuple[str, int], list[float]] = {}
    for region, index, value in _measure(reference, estimate, metric, masks, aids, {} if made is None else made):
        section = index if index == WHOLE_VOLUME else reference.stack.section_of(index)
        found.setdefault((region, section), []).append(value)
    yield from ((*key, float(np.mean(values))) for key, values in found.items())


def _measure(
    reference: Image,
    estimate: NDArray[np.floating],
    metric: str,
    masks: Mapping[str, NDArray[np.bool_]],
    aids: Aids,
    made: Made,
) -> Iterator[tuple[str, int, float]]:
    """Measure channel by channel; arguments as in `measure`, slices are those of the array."""
    module = plugins.load(METRICS, metric)
    axis, full = reference.slice_axis, data_range(reference)
    given = {"reference": reference.data, "estimate": estimate}
    if needs(metric, "measured"):
        if aids.measured is None:
            raise UserError(f"--lr: the metric {metric} needs the low-resolution volume; give it.")
        given["measured"] = aids.measured
    more: dict[str, Any] = {"data_range": full}
    if needs(metric, "features"):
        if aids.features is None:
            raise UserError(f"--features: the metric {metric} needs a feature network; give what `features` wrote.")
        more["features"] = aids.features
    volumes = {name: np.moveaxis(array, axis, 0) for name, array in given.items()}
    regions = {name: np.moveaxis(mask, axis, 0) for name, mask in masks.items()}
    if hasattr(module, "per_slice"):
        for index in reference.block.foreground_slices:
            here = {name: mask[index] for name, mask in regions.items()}
            slices = {name: volume[index] for name, volume in volumes.items()}
            if hasattr(module, "SHARED"):
                values = _off_shared(here, module, made, index, **slices, **more)
            else:
                values = _over(here, module, module.per_slice, **slices, **more)
            yield from ((name, index, value) for name, value in values)
    if hasattr(module, "per_volume") and not reference.stack.is_collection:
        spacing = (reference.spacing[axis], *np.delete(reference.spacing, axis).tolist())
        step = reference.stack.channel_count
        for channel in range(step):
            here = {name: mask[channel::step] for name, mask in regions.items()}
            whole = {name: volume[channel::step] for name, volume in volumes.items()}
            for name, value in _over(here, module, module.per_volume, **whole, **more, spacing=spacing):
                yield name, WHOLE_VOLUME, value


def _off_shared(
    masks: Mapping[str, NDArray[np.bool_]], module: ModuleType, made: Made, index: int, **given: Any
) -> Iterator[tuple[str, float]]:
    """Read a metric of a slice off what several metrics share, which is computed for the first of them."""
    for name, mask in masks.items():
        if mask.any():
            key = (module.SHARED, name, index)
            if key not in made:
                made[key] = module.SHARED(mask=mask, **given)
            yield name, module.of_shared(made[key])


def _over(
    masks: Mapping[str, NDArray[np.bool_]], module: ModuleType, function: Callable[..., float], **given: Any
) -> Iterator[tuple[str, float]]:
    """Measure over every region that has a voxel; a metric that is a mean over a map draws the map once for all."""
    found = {name: mask for name, mask in masks.items() if mask.any()}
    if found and hasattr(module, "per_voxel"):
        drawn = module.per_voxel(**given)
        yield from ((name, float(np.mean(drawn[mask], dtype=np.float64))) for name, mask in found.items())
    else:
        yield from ((name, function(mask=mask, **given)) for name, mask in found.items())


def neighbours(reference: Image) -> Image:
    """Return the mean of the slices before and after each one; the first and last slice have one neighbour alone.

    In serial sections, noise is another in every section while structures go on. An estimate that is nearer to the
    neighbours than the reference itself holds less noise than the reference. Not for stacks of unrelated pictures.

    Raises:
        UserError: the volume has a single slice.
    """
    axis, step = reference.slice_axis, reference.stack.channel_count
    slices = np.moveaxis(np.asarray(reference.data), axis, 0)
    if len(slices) == step:
        raise UserError(f"volume {reference.id!r}: a single slice has no neighbours (evaluate.regions).")
    before = np.concatenate([slices[step : 2 * step], slices[:-step]])
    after = np.concatenate([slices[step:], slices[-2 * step : -step]])
    return reference.with_data(np.moveaxis((before + after) / 2, 0, axis))


def evaluate(
    reference: Image,
    method: str,
    estimate: NDArray[np.floating],
    settings: Evaluate,
    denoised: Image | None = None,
    aids: Aids = NO_AIDS,
) -> Iterator[SliceValue]:
    """Measure one method on one volume: all metrics over all regions; arguments as in `measure`.

    Args:
        reference: extracted volume.
        method: what made the estimate.
        estimate: normalised intensities, of the same shape.
        settings: the section `evaluate`.
        denoised: the denoised reference, for the region "denoised".
        aids: what metrics may ask for.
    """
    identity = reference.identity
    volume, subject, split = identity.id, identity.subject, identity.split
    for compared, masks in _references(reference, settings, denoised):
        made: Made = {}
        for metric in settings.metrics:
            for region, index, value in measure(compared, estimate, metric, masks, aids, made):
                yield SliceValue(volume, subject, split, method, region, metric, index, value)


def _references(
    reference: Image, settings: Evaluate, denoised: Image | None
) -> Iterator[tuple[Image, dict[str, NDArray[np.bool_]]]]:
    """Yield what is compared with, the reference first, and the masks of its regions by their names in the tables."""
    regions = settings.regions
    parts = {name: region_mask(reference, name) for name in regions if name not in (NEIGHBOURS, DENOISED, LABELS)}
    if LABELS in regions:
        parts |= label_regions(reference, settings.labels)
    yield reference, parts
    if NEIGHBOURS in regions:
        yield neighbours(reference), {NEIGHBOURS: region_mask(reference, "foreground")}
    if DENOISED in regions:
        assert denoised is not None
        yield denoised, {DENOISED: region_mask(reference, "foreground")}


def method_of(prediction: Path) -> str:
    """Return the method that made a prediction: the name of its folder."""
    return prediction.resolve().parent.name


def by_method(predictions: Sequence[Path]) -> list[Path]:
    """Return predictions in the order of their methods' names.

    Raises:
        UserError: two belong to one method.
    """
    ordered = sorted(predictions, key=method_of)
    for one, other in pairwise(ordered):
        if method_of(one) == method_of(other):
            raise UserError(f"{one} and {other} belong to the same method; give one file a method.")
    return ordered


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors)."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    lr: list[Path] = field(default_factory=list)
    """Low-resolution volumes (.safetensors), in the same order; some metrics need them."""
    features: Path | None = None
    """Feature network (.safetensors, from the step convert_vgg); some metrics need it."""
    denoised: list[Path] = field(default_factory=list)
    """Denoised references, or folders of them (from the step denoise); the region denoised needs them."""
    output: Path
    """One row a slice, region, metric and method (.csv)."""
    settings: Annotated[Evaluate, section(Evaluate)] = field(default_factory=Evaluate)
    """Section `evaluate` of the configuration."""


def run(options: Options) -> None:
    """Write the table.

    Raises:
        UserError: a file is missing that a metric or region needs, or cannot be read.
    """
    settings = options.settings
    if DENOISED in settings.regions and not options.denoised:
        raise UserError("--denoised: evaluate.regions names denoised; give the file of the step denoise.")
    needed = {aid for aid in ("measured", "features") for metric in settings.metrics if needs(metric, aid)}
    features = read_features(options.features) if options.features and "features" in needed else None
    rows: list[SliceValue] = []
    for number, path in enumerate(each(options.hr)):
        reference = read_image(path)
        volume = reference.id
        with about(f"volume {volume!r}"):
            denoised = read_image(files_of(volume, options.denoised)[0]) if options.denoised else None
            with_lr = options.lr and "measured" in needed
            lr = on_grid(read_image(options.lr[number], LowResolutionImage), reference) if with_lr else None
            for prediction in tqdm(by_method(files_of(volume, options.predictions)), volume, disable=None):
                method, estimate = method_of(prediction), read_prediction(prediction, reference)
                rows.extend(evaluate(reference, method, estimate, settings, denoised, Aids(lr, features)))
                logger.info("%s: %s evaluated", volume, method)
    SLICES.write(options.output, rows)
