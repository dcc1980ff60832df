"""The Image: an array of voxels together with everything that gives its numbers a meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.image.header import FileHeader
from pipeline.image.intensity import IntensityMap
from pipeline.image.lengths import MILLIMETRES
from pipeline.image.slice_profile import SliceProfile
from pipeline.image.stack import Stack

PLANE_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Axis of a canonical (RAS) array along which the slices of a plane follow each other."""

"""Millimetres per unit of an image's spacing. A picture without a voxel size has the unit "pixel"."""


@dataclass(frozen=True)
class Identity:
    """The volume of a run that an image belongs to; all fields are empty for an image outside a run.

    Attributes:
        id: unique name of the volume within the run.
        subject: person or specimen.
        split: train, val, test or test_within_subject.
        source: name of the data source in the configuration.
        source_sha256: checksum of the source file.
    """

    id: str = ""
    subject: str = ""
    split: str = ""
    source: str = ""
    source_sha256: str = ""


@dataclass(frozen=True)
class Slicing:
    """Plane of the slices.

    Attributes:
        plane: axial, coronal or sagittal; "picture" for micrographs and pictures.
        axis: axis along which the slices follow each other.
        reason: why the plane was chosen, as the end of a sentence.
    """

    plane: str
    axis: int
    reason: str = ""


@dataclass(frozen=True)
class Block:
    """The block of slices that was extracted from a volume.

    Attributes:
        slices: first slice and end of the block in the whole volume, counted in sections; None if it was not cut.
        foreground_slices: slices of the array with enough foreground.
        foreground_fraction: share of the voxels in the foreground.
        stored_minimum: lowest physical value before normalisation; None if unknown.
        spacing_mm: voxel size along each axis in mm; None if unknown.
        bias_corrected: whether the bias field was removed.
        labels: labels of the segmentation that occur in the block; None without a segmentation.
        too_large: names of pictures that were left out for their size.
        near_duplicates: names of pictures that were left out as near-duplicates of others.
        denoised: denoiser and its settings in words; "" if the intensities were not denoised.
        synthetic: whether the image was synthesised from a label map.
    """

    slices: tuple[int, int] | None = None
    foreground_slices: tuple[int, ...] = ()
    foreground_fraction: float = 1.0
    stored_minimum: float | None = None
    spacing_mm: tuple[float, ...] | None = None
    bias_corrected: bool = False
    labels: tuple[int, ...] | None = None
    too_large: tuple[str, ...] = ()
    near_duplicates: tuple[str, ...] = ()
    denoised: str = ""
    synthetic: bool = False

    @property
    def start(self) -> int:
        """First slice of the block in the whole volume."""
        return self.slices[0] if self.slices else 0


@dataclass(frozen=True)
class Image:
    """A volume in canonical orientation: axes x, y, z run to the right, the front and the top (RAS).

    Micrographs and pictures have no anatomical orientation; see `pipeline.image.stack.lay` for how they lie.

    Attributes:
        data: intensities, shape (x, y, z). In memory they are normalised, float32.
        affine: shape (4, 4), from voxel indices to `unit`.
        intensity: map between normalised and stored intensities.
        unit: unit of the affine and of `spacing`: "mm", "um" (micrometres), or "pixel" if the voxel size is unknown.
        header: header of the source file, from which results are written alike.
        masks: boolean arrays of the shape of `data`, by name ("foreground").
        identity: volume of the run.
        slicing: plane of the slices; None before it was chosen.
        stack: channels, sections and names of the slices.
        block: result of the extraction.
        slice_profile: thickness and shape of the acquired slices; None if unknown, or if they are no slices.
    """

    data: NDArray
    affine: NDArray[np.float64]
    intensity: IntensityMap = field(default_factory=IntensityMap)
    unit: str = "mm"
    header: FileHeader = field(default_factory=FileHeader)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    identity: Identity = field(default_factory=Identity)
    slicing: Slicing | None = None
    stack: Stack = field(default_factory=Stack)
    block: Block = field(default_factory=Block)
    slice_profile: SliceProfile | None = None

    @property
    def id(self) -> str:
        """Name of the volume within its run."""
        return self.identity.id

    @property
    def plane(self) -> str:
        """Plane of the slices."""
        return self._chosen_slicing.plane

    @property
    def slice_axis(self) -> int:
        """Axis along which the slices follow each other."""
        return self._chosen_slicing.axis

    @property
    def _chosen_slicing(self) -> Slicing:
        if self.slicing is None:
            raise ValueError("the plane of the slices has not been chosen yet")
        return self.slicing

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size along each axis, in `unit`."""
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def spacing_mm(self) -> tuple[float, ...] | None:
        """Voxel size along each axis in mm; None if it is unknown."""
        unit = MILLIMETRES.get(self.unit)
        return None if unit is None else tuple(unit * length for length in self.spacing)

    @property
    def is_anatomical(self) -> bool:
        """Whether the axes are known to run to the right, the front and the top; those of micrographs are not."""
        return self.header.orientation is not None

    def profile_after(self, factors: Sequence[float]) -> SliceProfile | None:
        """Return the slice profile after resampling, None if the axis of the slices is resampled itself.

        Args:
            factors: enlargement or reduction along each axis.
        """
        profile = self.slice_profile
        return profile if profile is not None and factors[profile.axis_of(self.spacing)] == 1 else None

    def with_data(self, data: NDArray, **changes: Any) -> Self:
        """Return a copy with other intensities, and with further fields replaced."""
        return replace(self, data=data, **changes)

    def with_block(self, **changes: Any) -> Self:
        """Return a copy with fields of its block replaced."""
        return replace(self, block=replace(self.block, **changes))
