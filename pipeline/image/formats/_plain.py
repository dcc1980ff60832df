"""What formats without anatomical orientation share: micrographs and pictures, whose slices are drawn as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.stack import UNIT as PIXEL

MICROMETRE = "um"


def plain_image(
    sections: NDArray,
    intensity: IntensityMap,
    voxel_um: Sequence[float] | None,
    names: Sequence[str],
    origin: Mapping[str, Any],
) -> Image:
    """Makes an Image of sections, so that reports draw them upright (see `pipeline.image.stack.lay`).

    Args:
        sections: stored values, shape (slices, rows, columns).
        intensity: slope, intercept and dtype of the file.
        voxel_um: size of a voxel along x, y and z in micrometres; None where the file does not say, then 1 pixel.
        names: of the slices, for reports.
        origin: what the file looked like, with its "format".

    Returns:
        Physical intensities, float64, shape (x, y, z); the orientation is not known.
    """
    data = sections[:, ::-1, ::-1].transpose(2, 1, 0).astype(np.float64) * intensity.slope + intensity.intercept
    return Image(
        data=data,
        affine=np.diag([*(voxel_um or (1.0, 1.0, 1.0)), 1.0]).astype(np.float64),
        intensity=intensity,
        unit=PIXEL if voxel_um is None else MICROMETRE,
        origin={**origin, "orientation_code": None},
        facts={"slice_names": list(names)},
    )


def plain_sections(image: Image) -> tuple[NDArray, int]:
    """Returns the stored values of an image, shape (slices, rows, columns), and how many had to be clipped."""
    stored, saturated = image.intensity.to_stored(image.data)
    return np.ascontiguousarray(stored.transpose(2, 1, 0)[:, ::-1, ::-1]), saturated


def section_names(count: int) -> list[str]:
    """Returns names of slices that have none of their own."""
    return [f"section {index}" for index in range(count)]
