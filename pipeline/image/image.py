"""The Image: an array together with everything that gives its numbers a meaning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.image.intensity import IntensityMap

PLANE_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Axis of a canonical (RAS) array along which the slices of a plane follow each other."""


@dataclass(frozen=True)
class Image:
    """A volume in canonical orientation: axes x, y, z run to the right, the front and the top (RAS).

    Micrographs and pictures have no anatomical orientation; they lie as `pipeline.image.stack.lay` lays a picture.

    Attributes:
        data: intensities, shape (x, y, z). In memory they are normalised, float32.
        affine: shape (4, 4), from voxel indices to `unit`.
        intensity: the map between normalised and stored intensities.
        axes: names of the array's axes.
        unit: unit of the affine and of `spacing`: "mm", "um" (micrometres) or "pixel", where nobody knows.
        origin: what the file looked like (orientation, shape, header codes), so that results can be written alike.
        masks: boolean arrays of the same shape, by name ("foreground").
        facts: what a stage recorded about the volume, plain JSON values.
    """

    data: NDArray
    affine: NDArray[np.float64]
    intensity: IntensityMap = field(default_factory=IntensityMap)
    axes: tuple[str, ...] = ("x", "y", "z")
    unit: str = "mm"
    origin: dict[str, Any] = field(default_factory=dict)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance between neighbouring voxels along each axis, in `unit`."""
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def is_anatomical(self) -> bool:
        """Whether its axes are known to run to the right, the front and the top; those of micrographs are not."""
        return self.origin.get("orientation_code", "") is not None

    def with_data(self, data: NDArray, **changes: Any) -> Image:
        """Return a copy with other intensities, and other fields where they are named."""
        return replace(self, data=data, **changes)
