"""One pass over the predictions of a volume: each is read once, and the page keeps only what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import read_prediction
from pipeline.image.image import Image
from pipeline.image.uncertainty_map import UncertaintyMap
from pipeline.inference.result_check import agreement_with_measurement
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.figures.gallery import LOW, REFERENCE, TITLES, repeat_voxels, with_colours
from pipeline.reporting.figures.slices import (
    Box,
    bounding_box,
    colours,
    detail_box,
    display_slice,
    display_slices,
    display_spacing,
)
from pipeline.reporting.figures.viewer import Crop, Layer, choose_crop
from pipeline.reporting.numbers import format_share
from pipeline.reporting.similarity import Similarity, SimilarityReference
from pipeline.reporting.titles import in_order, method_title

SAME_AS_LOW = "nearest"
"""Baseline that looks like the low-resolution input itself and is not displayed."""


@dataclass(frozen=True)
class PredictionSummary:
    """What the page of a volume keeps of all predictions.

    Attributes:
        displayed: displayed slices of the main methods, by method.
        layers: volumes of the viewer, from the low-resolution input to the reference.
        crop: part of the volume that the layers contain.
        similarity: similarity to the reference, by method.
        similarity_reference: the reference that the methods were compared with.
        saturated: fraction of the deliverable's voxels at the upper limit of its data type.
        beyond_noise: root mean square difference between the degraded deliverable and the measurement beyond the
            noise, as a fraction of the intensity range.
    """

    displayed: Mapping[str, list[NDArray]]
    layers: tuple[Layer, ...]
    crop: Crop
    similarity: Mapping[str, Similarity]
    similarity_reference: SimilarityReference
    saturated: float
    beyond_noise: float

    @property
    def titles(self) -> dict[str, str]:
        """Titles of all layers by name."""
        return {layer.name: layer.title for layer in self.layers}


def summarise_predictions(
    reference: Image,
    low: LowResolutionImage,
    predictions: Mapping[str, Path],
    *,
    deliver: str,
    main: Sequence[str],
    indices: Sequence[int],
    order: Sequence[int] | None,
) -> PredictionSummary:
    """Read all predictions of a volume, one at a time, and summarise them.

    Args:
        reference: extracted volume.
        low: low-resolution volume.
        predictions: prediction files by method.
        deliver: method of the deliverable.
        main: methods whose slices are displayed as static images.
        indices: slices of the static images.
        order: slices of a stack of pictures in display order; None for volumes.

    Raises:
        UserError: a file cannot be read or is not on the grid of the reference.
    """
    crop = choose_crop(reference, order, middle_detail(reference, indices))
    compared = SimilarityReference(reference, indices)
    displayed: dict[str, list[NDArray]] = {}
    similarity: dict[str, Similarity] = {}
    layers: list[Layer] = []
    saturated = beyond_noise = 0.0
    model = low.forward_model
    for name, role, volume in _volumes(reference, low, predictions, deliver):
        slices = display_slices(volume, crop.axis)
        layers.append(Layer(name, TITLES.get(name) or method_title(name), role, crop.grey(slices)))
        similarity[name] = compared.compare(slices)
        if name in main:
            displayed[name] = [with_colours(slices, index, crop.colours) for index in indices]
        if name == deliver:
            saturated = saturated_fraction(reference, volume)
            beyond_noise = agreement_with_measurement(volume, low.data, model).beyond_noise
    return PredictionSummary(displayed, tuple(layers), crop, similarity, compared, saturated, beyond_noise)


def _volumes(
    reference: Image, low: LowResolutionImage, predictions: Mapping[str, Path], deliver: str
) -> Iterator[tuple[str, str, NDArray[np.floating]]]:
    """Yield name, role and data of every displayed volume: the input, all methods (the deliverable last), reference."""
    yield LOW, "input", repeat_voxels(low, reference)
    for method in in_order(predictions, deliver):
        if method != SAME_AS_LOW:
            yield method, "estimate", read_prediction(predictions[method], reference)
    yield REFERENCE, "reference", np.asarray(reference.data)


def middle_detail(reference: Image, indices: Sequence[int]) -> Box:
    """Return the magnified detail of the middle one of the displayed slices."""
    axis = reference.slice_axis
    index = indices[len(indices) // 2]
    mask = display_slice(reference.masks["foreground"], axis, index)
    displayed = display_slice(np.asarray(reference.data), axis, index)
    return detail_box(displayed, mask, bounding_box([mask]), display_spacing(reference.spacing, axis))


def saturated_fraction(reference: Image, estimate: NDArray[np.floating]) -> float:
    """Return the fraction of voxels at the maximum of the volume's integer data type; 0 for floating point.

    Args:
        reference: extracted volume, whose data type the results share.
        estimate: normalised intensities of a result.
    """
    dtype = np.dtype(reference.intensity.dtype)
    if dtype.kind == "f":
        return 0.0
    stored, _ = reference.intensity.to_stored(estimate)
    return float(np.mean(stored == np.iinfo(dtype).max))


def uncertainty_layer(path: Path, reference: Image, crop: Crop, top: float) -> Layer:
    """Read the uncertainty map of the deliverable as a layer of the viewer.

    Args:
        path: an `UncertaintyMap`, or the standard deviation over test-time augmentation, normalised.
        reference: extracted volume.
        crop: displayed part of the volume.
        top: value with the brightest colour, as a fraction of the normalised range.

    Raises:
        UserError: the file cannot be read or is not on the grid of the reference.
    """
    image = read_image(path)
    if image.data.shape != reference.data.shape:
        raise UserError(
            f"{path}: shape {image.data.shape} differs from the shape {reference.data.shape} of the volume. "
            "Run inference again."
        )
    title = "Standard deviation over augmentations"
    if isinstance(image, UncertaintyMap):
        title = f"Half-width of the {format_share(image.level)} interval"
    legend = ("0", f"\N{GREATER-THAN OR EQUAL TO} {format_share(top)}")
    levels = crop.levels(display_slices(image.data, crop.axis), top)
    return Layer("uncertainty", title, "map", levels, legend, colours())
