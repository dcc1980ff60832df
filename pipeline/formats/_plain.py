"""Shared by formats without anatomical orientation: micrographs and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.formats._checks import header_of
from pipeline.image.channels import channel_labels, slice_title
from pipeline.image.geometry import Orientation
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.stack import UNIT as PIXEL
from pipeline.image.stack import Stack

MICROMETRE = "um"


@dataclass(frozen=True, kw_only=True)
class PlainHeader(FileHeader):
    """Header of a micrograph or picture.

    Attributes:
        channels: names of the channels as the file has them, "" for those without a name.
    """

    orientation: Orientation | None = None
    channels: tuple[str, ...] = ()


def plain_image(
    sections: NDArray,
    intensity: IntensityMap,
    voxel_um: Sequence[float] | None,
    names: Sequence[str],
    channels: Sequence[str],
    header: PlainHeader,
) -> Image:
    """Convert sections to an Image, laid out so that reports draw them upright (see `pipeline.image.stack.lay`).

    Channels become further slices: see `pipeline.image.channels`.

    Args:
        sections: stored values, shape (sections, channels, rows, columns).
        intensity: slope, intercept and dtype of the file.
        voxel_um: voxel size along x, y and z in micrometres; None if unknown, then 1 pixel.
        names: of the sections, for reports.
        channels: their names as the file has them, "" where it has none.
        header: header of the file; the channels are added.

    Returns:
        Physical intensities, float64, shape (x, y, sections x channels); the orientation is not known.
    """
    count, several = len(channels), len(channels) > 1
    slices = sections.reshape(-1, *sections.shape[-2:])
    data = slices[:, ::-1, ::-1].transpose(2, 1, 0).astype(np.float64) * intensity.slope + intensity.intercept
    labels = channel_labels(channels)
    stack = Stack(
        channels=tuple(labels),
        sections=tuple(np.repeat(np.arange(len(names)), count).tolist()) if several else None,
        names=tuple(slice_title(name, label) if several else name for name in names for label in labels),
    )
    return Image(
        data=data,
        affine=np.diag([*(voxel_um or (1.0, 1.0, 1.0)), 1.0]).astype(np.float64),
        intensity=intensity,
        unit=PIXEL if voxel_um is None else MICROMETRE,
        header=replace(header, channels=tuple(channels)),
        stack=stack,
    )


def plain_sections(image: Image) -> tuple[NDArray, int]:
    """Return the stored values of an image, and the number of clipped values.

    Their shape is (sections, channels, rows, columns).
    """
    stored, saturated = image.intensity.to_stored(image.data)
    slices = stored.transpose(2, 1, 0)[:, ::-1, ::-1]
    return np.ascontiguousarray(
        slices.reshape(-1, len(header_of(image, PlainHeader).channels), *slices.shape[1:])
    ), saturated


def section_names(count: int) -> list[str]:
    """Return numbered names for sections without names."""
    return [f"section {index}" for index in range(count)]
