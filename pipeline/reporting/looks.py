"""One look at every volume of a page: each is read once, and what the page needs of it is kept."""

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
from pipeline.reporting.cautions import share_at_limit
from pipeline.reporting.figures.gallery import LOW, REFERENCE, TITLES, enlarge_pixels, in_colour
from pipeline.reporting.figures.similarity import Closeness, Yardstick
from pipeline.reporting.figures.slices import (
    Box,
    bounding_box,
    colours,
    detail_box,
    draw_slice,
    drawn_slices,
    drawn_spacing,
)
from pipeline.reporting.figures.viewer import Layer, Part, choose_part
from pipeline.reporting.titles import in_order, method_title

SAME_AS_LOW = "nearest"
"""Looks like the measurement itself, and is left out of the pictures."""


@dataclass(frozen=True)
class Looks:
    """What a page keeps of all volumes.

    Attributes:
        drawn: slices of the main methods, for the static pictures, by method.
        layers: what the viewer holds, from the measurement to the reference.
        part: what of the volume the layers hold.
        closeness: to the reference, by method.
        yardstick: what the methods were compared with.
        at_limit: share of the deliverable's voxels as bright as its file can hold.
        beyond_noise: how far the deliverable, degraded again, differs from the measurement beyond the noise, as a
            fraction of the intensity range.
    """

    drawn: Mapping[str, list[NDArray]]
    layers: tuple[Layer, ...]
    part: Part
    closeness: Mapping[str, Closeness]
    yardstick: Yardstick
    at_limit: float
    beyond_noise: float

    @property
    def titles(self) -> dict[str, str]:
        """Titles of all layers by name."""
        return {layer.name: layer.title for layer in self.layers}


def volumes(
    reference: Image, low: LowResolutionImage, predictions: Mapping[str, Path], deliver: str
) -> Iterator[tuple[str, str, NDArray[np.floating]]]:
    """Yield name, role and volume of everything that is shown; one volume at a time is in memory.

    Args:
        reference: extracted volume.
        low: its low-resolution volume.
        predictions: files by method.
        deliver: method of the deliverable, which comes last before the reference.
    """
    yield LOW, "measured", enlarge_pixels(low, reference)
    for method in in_order(predictions, deliver):
        if method != SAME_AS_LOW:
            yield method, "estimate", read_prediction(predictions[method], reference)
    yield REFERENCE, "reference", np.asarray(reference.data)


def look(
    reference: Image,
    low: LowResolutionImage,
    predictions: Mapping[str, Path],
    *,
    deliver: str,
    main: Sequence[str],
    indices: Sequence[int],
    order: Sequence[int] | None,
) -> Looks:
    """Look at all volumes.

    Args:
        reference: extracted volume.
        low: its low-resolution volume.
        predictions: files by method.
        deliver: method of the deliverable.
        main: methods whose slices are drawn as static pictures.
        indices: slices of these pictures.
        order: slices of a stack in the order in which they are shown; None for volumes.

    Raises:
        UserError: a file cannot be read or does not lie on the grid of the reference.
    """
    part = choose_part(reference, order, middle_detail(reference, indices))
    yardstick = Yardstick(reference, indices)
    drawn: dict[str, list[NDArray]] = {}
    closeness: dict[str, Closeness] = {}
    layers: list[Layer] = []
    at_limit = beyond_noise = 0.0
    model = low.forward_model
    for name, role, volume in volumes(reference, low, predictions, deliver):
        slices = drawn_slices(volume, part.axis)
        layers.append(Layer(name, TITLES.get(name) or method_title(name), role, part.grey(slices)))
        closeness[name] = yardstick.compare(slices)
        if name in main:
            drawn[name] = [in_colour(slices, index, part.colours) for index in indices]
        if name == deliver:
            at_limit = share_at_limit(reference, volume)
            beyond_noise = agreement_with_measurement(volume, low.data, model).beyond_noise
    return Looks(drawn, tuple(layers), part, closeness, yardstick, at_limit, beyond_noise)


def middle_detail(reference: Image, indices: Sequence[int]) -> Box:
    """Return the magnified detail of the slice in the middle of those that are drawn."""
    axis = reference.slice_axis
    index = indices[len(indices) // 2]
    mask = draw_slice(reference.masks["foreground"], axis, index)
    drawn = draw_slice(np.asarray(reference.data), axis, index)
    return detail_box(drawn, mask, bounding_box([mask]), drawn_spacing(reference.spacing, axis))


def uncertainty_layer(path: Path, reference: Image, part: Part, top: float) -> Layer:
    """Read a map of the uncertainty.

    Args:
        path: standard deviation over the views of the measurement, normalised; an `UncertaintyMap` has
            the factor that makes it an expected error.
        reference: extracted volume.
        part: what of it is shown.
        top: what has the brightest colour, as a share of the normalised range.

    Raises:
        UserError: the file cannot be read or does not lie on the grid of the reference.
    """
    image = read_image(path)
    if image.data.shape != reference.data.shape:
        raise UserError(
            f"{path}: has shape {image.data.shape}, but the volume has {reference.data.shape}; infer again."
        )
    calibrated = isinstance(image, UncertaintyMap)
    factor = image.error_factor if calibrated else 1.0
    title = "Expected error" if calibrated else "Disagreement over views"
    legend = ("0", f"\N{GREATER-THAN OR EQUAL TO} {top:.0%}")
    levels = part.levels(drawn_slices(image.data, part.axis), top / factor)
    return Layer("uncertainty", title, "map", levels, legend, colours())
