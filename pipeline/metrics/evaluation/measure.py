"""Metrics of restored volumes against the reference, slice by slice or for the whole volume.

Slices with several channels and colour pictures are evaluated channel by channel and averaged, since channels show the
same tissue and are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.config.sections import Evaluate
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.intensity import DATA_RANGE
from pipeline.metrics._features import Features
from pipeline.metrics.evaluation.regions import UNSEEN, references
from pipeline.physics.grid import crop_to
from pipeline.physics.interpolation import bspline_matrix, enlarge
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.tables.slices import WHOLE_VOLUME, SliceValue

METRICS = "pipeline.metrics"


@dataclass(frozen=True)
class ExtraInputs:
    """Inputs that some metrics need besides reference and estimate, see `pipeline.metrics`.

    Attributes:
        lr: the low-resolution image on the grid of the reference, see `interpolated_lr`; None if no metric needs it.
        features: feature network; None if no metric needs it.
    """

    lr: NDArray[np.floating] | None = None
    features: Features | None = None


NO_EXTRA_INPUTS = ExtraInputs()


def interpolated_lr(lr_image: LowResolutionImage, reference: Image) -> NDArray[np.floating]:
    """Interpolate a normalised low-resolution image by cubic B-splines to the grid of its reference.

    Raises:
        UserError: the image and the reference belong to different volumes.
    """
    name, other = reference.id, lr_image.id
    if name != other:
        raise UserError(
            f"--lr: contains volume {other!r}, but the reference is {name!r}; pass the LR image of {name!r}."
        )
    model = lr_image.forward_model
    return crop_to(enlarge(lr_image.data, model.factors, bspline_matrix), model.hr_shape)


def needs(metric: str, extra: str) -> bool:
    """Return whether a metric needs one of the `ExtraInputs`: "lr" or "features"."""
    return getattr(plugins.load(METRICS, metric), f"NEEDS_{extra.upper()}", False)


def evaluate(
    reference: Image,
    method: str,
    estimate: NDArray[np.floating],
    settings: Evaluate,
    denoised: Image | None = None,
    extra: ExtraInputs = NO_EXTRA_INPUTS,
    unseen: Sequence[int] = (),
) -> Iterator[SliceValue]:
    """Compute all metrics over all regions for one method and volume.

    Args:
        reference: extracted volume.
        method: name of the method, for the table.
        estimate: its result, normalised intensities of the same shape.
        settings: the section `evaluate`.
        denoised: the denoised reference, for the region "denoised".
        extra: further inputs of the metrics.
        unseen: slices of the region "unseen", see `pipeline.metrics.evaluation.regions`.

    Raises:
        UserError: see `measure`.
    """
    volume, subject, split = reference.id, reference.identity.subject, reference.identity.split
    for compared, masks in references(reference, settings, denoised, unseen):
        for metric in settings.metrics:
            for region, index, value in measure(compared, estimate, metric, masks, extra):
                yield SliceValue(volume, subject, split, method, region, metric, index, value)


def measure(
    reference: Image,
    estimate: NDArray[np.floating],
    metric: str,
    masks: Mapping[str, NDArray[np.bool_]],
    extra: ExtraInputs = NO_EXTRA_INPUTS,
) -> Iterator[tuple[str, int, float]]:
    """Compute a metric for every slice, for the whole volume, or for both, depending on the metric.

    Slices with too little foreground are skipped, but are part of the whole volume. Regions without voxels have no
    value. Stacks of unrelated pictures have no value for the whole volume, and neither have unseen slices, which are
    not contiguous.

    Args:
        reference: extracted volume.
        estimate: normalised intensities of the same shape.
        metric: name of a module of pipeline.metrics.
        masks: regions by name, of the same shape.
        extra: further inputs of the metric.

    Yields:
        Name of the region, index of the slice (WHOLE_VOLUME for the whole volume), and the value, averaged over the
        channels.

    Raises:
        UserError: an input of the metric is missing, or the metric cannot be computed for slices of this size.
    """
    by_section: dict[tuple[str, int], list[float]] = {}
    for region, index, value in _by_channel(reference, estimate, metric, masks, extra):
        section = index if index == WHOLE_VOLUME else reference.stack.section_of(index)
        by_section.setdefault((region, section), []).append(value)
    yield from ((*key, float(np.mean(values))) for key, values in by_section.items())


def _by_channel(
    reference: Image,
    estimate: NDArray[np.floating],
    metric: str,
    masks: Mapping[str, NDArray[np.bool_]],
    extra: ExtraInputs,
) -> Iterator[tuple[str, int, float]]:
    """Yield the values of every channel; arguments as in `measure`, indices are those of the array."""
    module = plugins.load(METRICS, metric)
    axis = reference.slice_axis
    arrays = {"reference": reference.data, "estimate": estimate}
    options: dict[str, Any] = {"data_range": DATA_RANGE}
    if needs(metric, "lr"):
        if extra.lr is None:
            raise UserError(f"--lr: the metric {metric} needs the low-resolution volume; pass it with this option.")
        arrays["lr"] = extra.lr
    if needs(metric, "features"):
        if extra.features is None:
            raise UserError(f"--features: the metric {metric} needs a feature network; pass the file of step features.")
        options["features"] = extra.features
    volumes = {name: np.moveaxis(array, axis, 0) for name, array in arrays.items()}
    regions = {name: np.moveaxis(mask, axis, 0) for name, mask in masks.items()}
    if hasattr(module, "per_slice"):
        for index in reference.block.foreground_slices:
            here = {name: mask[index] for name, mask in regions.items()}
            slices = {name: volume[index] for name, volume in volumes.items()}
            for region, value in _values_by_region(here, module, module.per_slice, **slices, **options):
                yield region, index, value
    if hasattr(module, "per_volume") and not reference.stack.is_collection:
        options["spacing"] = (reference.spacing[axis], *np.delete(reference.spacing, axis).tolist())
        step = reference.stack.channel_count
        for channel in range(step):
            here = {name: mask[channel::step] for name, mask in regions.items() if name != UNSEEN}
            whole = {name: volume[channel::step] for name, volume in volumes.items()}
            for region, value in _values_by_region(here, module, module.per_volume, **whole, **options):
                yield region, WHOLE_VOLUME, value


def _values_by_region(
    masks: Mapping[str, NDArray[np.bool_]], module: ModuleType, function: Callable[..., float], **inputs: Any
) -> Iterator[tuple[str, float]]:
    """Yield the value of every region with voxels, computing the map of a metric with `per_voxel` only once."""
    filled = {name: mask for name, mask in masks.items() if mask.any()}
    if filled and hasattr(module, "per_voxel"):
        values = module.per_voxel(**inputs)
        yield from ((name, float(np.mean(values[mask], dtype=np.float64))) for name, mask in filled.items())
    else:
        yield from ((name, function(mask=mask, **inputs)) for name, mask in filled.items())
