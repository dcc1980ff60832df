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
from pipeline.inference.result_check import agreement_with_measurement
from pipeline.physics.forward import ForwardModel
from pipeline.reporting.cautions import share_at_limit
from pipeline.reporting.closeness import Closeness, Yardstick
from pipeline.reporting.gallery import LOW, TITLES, TRUTH, enlarge_pixels, in_colour
from pipeline.reporting.methods import in_order, method_title
from pipeline.reporting.slice_images import (
    Box,
    bounding_box,
    colours,
    detail_box,
    draw_slice,
    drawn_slices,
    drawn_spacing,
)
from pipeline.reporting.viewer import Layer, Part, choose_part

SAME_AS_LOW = "nearest"
"""Looks like the measurement itself, and is left out of the pictures."""


@dataclass(frozen=True)
class Looks:
    """What a page keeps of all volumes.

    Attributes:
        drawn: slices of the main methods, for the static pictures, by method.
        layers: what the viewer holds, from the measurement to the truth.
        part: what of the volume the layers hold.
        closeness: to the truth, by method.
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
    truth: Image, low: Image, predictions: Mapping[str, Path], deliver: str
) -> Iterator[tuple[str, str, NDArray[np.floating]]]:
    """Gives name, role and volume of everything that is shown; one volume at a time is in memory.

    Args:
        truth: extracted volume.
        low: its low-resolution volume.
        predictions: files by method.
        deliver: method of the deliverable, which comes last before the truth.
    """
    yield LOW, "measured", enlarge_pixels(low, truth)
    for method in in_order(predictions, deliver):
        if method != SAME_AS_LOW:
            yield method, "estimate", read_prediction(predictions[method], truth)
    yield TRUTH, "truth", np.asarray(truth.data)


def look(
    truth: Image,
    low: Image,
    predictions: Mapping[str, Path],
    *,
    deliver: str,
    main: Sequence[str],
    indices: Sequence[int],
    order: Sequence[int] | None,
) -> Looks:
    """Looks at all volumes.

    Args:
        truth: extracted volume.
        low: its low-resolution volume.
        predictions: files by method.
        deliver: method of the deliverable.
        main: methods whose slices are drawn as static pictures.
        indices: slices of these pictures.
        order: slices of a stack in the order in which they are shown; None for volumes.

    Raises:
        UserError: a file cannot be read or does not lie on the grid of the truth.
    """
    part = choose_part(truth, order, middle_detail(truth, indices))
    yardstick = Yardstick(truth, indices)
    drawn: dict[str, list[NDArray]] = {}
    closeness: dict[str, Closeness] = {}
    layers: list[Layer] = []
    at_limit = beyond_noise = 0.0
    model = ForwardModel.from_json(low.facts["forward_model"])
    for name, role, volume in volumes(truth, low, predictions, deliver):
        slices = drawn_slices(volume, part.axis)
        layers.append(Layer(name, TITLES.get(name) or method_title(name), role, part.grey(slices)))
        closeness[name] = yardstick.compare(slices)
        if name in main:
            drawn[name] = [in_colour(slices, index, part.colours) for index in indices]
        if name == deliver:
            at_limit = share_at_limit(truth, volume)
            beyond_noise = agreement_with_measurement(volume, low.data, model).beyond_noise
    return Looks(drawn, tuple(layers), part, closeness, yardstick, at_limit, beyond_noise)


def middle_detail(truth: Image, indices: Sequence[int]) -> Box:
    """Returns the magnified detail of the slice in the middle of those that are drawn."""
    axis = truth.facts["slice_axis"]
    index = indices[len(indices) // 2]
    mask = draw_slice(truth.masks["foreground"], axis, index)
    drawn = draw_slice(np.asarray(truth.data), axis, index)
    return detail_box(drawn, mask, bounding_box([mask]), drawn_spacing(truth.spacing, axis))


def uncertainty_layer(path: Path, truth: Image, part: Part, top: float) -> Layer:
    """Reads a map of the uncertainty.

    Args:
        path: standard deviation over the views of the measurement, normalised, and in its facts, where that is known,
            the factor that makes it an expected error.
        truth: extracted volume.
        part: what of it is shown.
        top: what has the brightest colour, as a share of the normalised range.

    Raises:
        UserError: the file cannot be read or does not lie on the grid of the truth.
    """
    image = read_image(path)
    if image.data.shape != truth.data.shape:
        raise UserError(f"{path}: has shape {image.data.shape}, but the volume has {truth.data.shape}; infer again.")
    factor = float(image.facts.get("expected_error_factor", 1.0))
    title = "Expected error" if "expected_error_factor" in image.facts else "Disagreement over views"
    legend = ("0", f"\N{GREATER-THAN OR EQUAL TO} {top:.0%}")
    levels = part.levels(drawn_slices(image.data, part.axis), top / factor)
    return Layer("uncertainty", title, "map", levels, legend, colours())
