"""The profile of acquired slices: thickness and shape, and where they are known from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.image.lengths import lengths_in_words

Shape = Literal["gaussian", "rect", "windowed_sinc"]
"""Shapes of `pipeline.physics.operators.slice_profile`."""
Origin = Literal["given", "dicom", "sidecar", "estimated", "assumed"]
SHAPES: dict[Shape, str] = {"gaussian": "Gaussian", "rect": "rectangular", "windowed_sinc": "windowed-sinc"}
ORIGINS: dict[Origin, str] = {
    "given": "as given by the user",
    "dicom": "from the DICOM header (SliceThickness)",
    "sidecar": "from the BIDS sidecar (SliceThickness)",
    "estimated": "estimated from the image",
    "assumed": "assumed to equal the slice spacing",
}
MAX_THICKNESS_MM = 50.0
"""Maximum plausible slice thickness; larger values are errors of unit or header."""
CONTIGUOUS_SHARE = 0.005
"""Maximum difference of thickness and spacing, as a share of the spacing, at which slices are called contiguous."""


@dataclass(frozen=True)
class SliceProfile:
    """Through-plane weighting of acquired slices.

    Attributes:
        thickness_mm: slice thickness, the full width at half maximum of the profile, in mm.
        shape: shape of the profile.
        source: where the thickness is known from.
        axis: axis of the canonical array that the slices are perpendicular to; None for the axis with the largest
            spacing.
    """

    thickness_mm: float
    shape: Shape = "gaussian"
    source: Origin = "assumed"
    axis: int | None = None

    def __post_init__(self) -> None:
        """Check the thickness.

        Raises:
            ValueError: the thickness is zero, negative, NaN or infinite.
        """
        if not (math.isfinite(self.thickness_mm) and self.thickness_mm > 0):
            raise ValueError(f"a slice thickness of {self.thickness_mm} mm is not a finite number above zero")

    def axis_of(self, spacing: Sequence[float]) -> int:
        """Return the axis that the slices are perpendicular to, given the voxel size along each axis."""
        return max(range(len(spacing)), key=lambda axis: spacing[axis]) if self.axis is None else self.axis

    def gap_mm(self, spacing_mm: float) -> float:
        """Return the gap between neighbouring slices in mm; negative where they overlap."""
        return spacing_mm - self.thickness_mm

    def describe(self, spacing_mm: float) -> str:
        """Return a description of the slices, such as "slices of 3.6 mm every 4 mm (gap of 0.4 mm), ...".

        Args:
            spacing_mm: distance of the centres of neighbouring slices, in mm.
        """

        def words(length_mm: float) -> str:
            return lengths_in_words([length_mm], like=(self.thickness_mm, spacing_mm))

        gap = self.gap_mm(spacing_mm)
        if abs(gap) <= CONTIGUOUS_SHARE * spacing_mm:
            relation = "contiguous"
        else:
            relation = f"{'gap' if gap > 0 else 'overlap'} of {words(abs(gap))}"
        return (
            f"slices of {words(self.thickness_mm)} every {words(spacing_mm)} ({relation}), "
            f"{SHAPES[self.shape]} profile, thickness {ORIGINS[self.source]}"
        )
