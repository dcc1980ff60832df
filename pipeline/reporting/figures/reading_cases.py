"""Cases of a reader study: slices with the same crop, intensity window and size for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config.sections import REFERENCE
from pipeline.fidelity.reading.study import Picture
from pipeline.formats.io.predictions import read_prediction
from pipeline.image.channels import colour_slices
from pipeline.image.image import Image
from pipeline.image.slices import evenly_spaced
from pipeline.reporting.figures.gallery import WHITE_PERCENTILE, grey
from pipeline.reporting.figures.slices import (
    LONGEST_SIDE,
    Box,
    bounding_box,
    data_uri,
    detail_box,
    display_slice,
    display_spacing,
    to_grey,
)


@dataclass(frozen=True)
class Case:
    """One slice of a study.

    Attributes:
        volume: name of the volume.
        index: index of the slice.
        box: the crop.
        white: normalised intensity that is drawn white.
        aspect: width over height.
        colours: number of colour channels.
    """

    volume: str
    index: int
    box: Box
    white: float
    aspect: float
    colours: int = 1

    @property
    def name(self) -> str:
        """Name of the case: volume and slice."""
        return f"{self.volume}/{self.index}"

    def picture(self, volume: NDArray[np.floating], axis: int) -> str:
        """Draw this slice of a volume on the grid of the reference, lossless; return a data URI."""
        return data_uri(to_grey(self.box.cut(_drawn(volume, axis, self.index, self.colours)), 0.0, self.white))


def choose_cases(references: Sequence[Image], count: int) -> list[Case]:
    """Choose slices that are evenly spaced over the volumes and within each.

    Crop and window are chosen from the reference only, so that no method is favoured. Large slices are cropped around
    the detail that the report magnifies, since downscaled pictures hide differences.

    Args:
        references: extracted volumes.
        count: maximum number of slices in total.
    """
    found: list[Case] = []
    for place, reference in enumerate(references):
        share = (count * (place + 1)) // len(references) - (count * place) // len(references)
        slices = reference.stack.one_a_picture(reference.block.foreground_slices)
        found.extend(_case(reference, index) for index in evenly_spaced(slices, share) if share)
    return found


def draw_cases(
    reference: Image, predictions: Mapping[str, Path], cases: Sequence[Case]
) -> dict[tuple[str, str], Picture]:
    """Draw the cases of a volume for the reference and every method, with one restored volume in memory at a time.

    Args:
        reference: extracted volume.
        predictions: files of its restorations by method.
        cases: cases of this volume.

    Returns:
        Pictures by case and method.
    """
    axis = reference.slice_axis
    pictures = {(case.name, REFERENCE): Picture(case.picture(reference.data, axis), case.aspect) for case in cases}
    for method, path in predictions.items():
        estimate = read_prediction(path, reference)
        pictures |= {(case.name, method): Picture(case.picture(estimate, axis), case.aspect) for case in cases}
    return pictures


def _drawn(volume: NDArray, axis: int, index: int, colours: int) -> NDArray:
    """Draw a slice, shape (rows, columns), or (rows, columns, 3) for a colour picture."""
    each = [display_slice(volume, axis, one) for one in colour_slices(index, colours)]
    return each[0] if colours == 1 else np.stack(each, axis=-1)


def _case(reference: Image, index: int) -> Case:
    axis, colours = reference.slice_axis, reference.stack.colours
    drawn = _drawn(np.asarray(reference.data), axis, index, colours)
    mask = display_slice(reference.masks["foreground"], axis, index)
    spacing = display_spacing(reference.spacing, axis)
    box = bounding_box([mask])
    if max(box.shape) > LONGEST_SIDE:
        box = _around(detail_box(grey(drawn), mask, box, spacing), mask.shape)
    white = float(np.percentile(drawn[mask], WHITE_PERCENTILE))
    height, width = (size * step for size, step in zip(box.shape, spacing, strict=True))
    return Case(reference.id, index, box, white, round(width / height, 4), colours)


def _around(detail: Box, shape: tuple[int, ...]) -> Box:
    """Return the crop of a slice around the centre of a detail, at most LONGEST_SIDE along both sides."""
    edges = []
    for low, high, size in ((detail.top, detail.bottom, shape[0]), (detail.left, detail.right, shape[1])):
        length = min(LONGEST_SIDE, size)
        start = int(np.clip((low + high - length) // 2, 0, size - length))
        edges += [start, start + length]
    return Box(*edges)
