"""Intensity maps: invertible, recorded, and never a silent clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERCENTILE = 99.9
"""Normalised 1.0 is this percentile of the foreground; it shuts out single bright vessels and artefacts."""


@dataclass(frozen=True)
class IntensityMap:
    """Between three scales: stored (what the file holds), physical (slope and intercept applied) and normalised.

    physical = slope * stored + intercept; normalised = physical / scale. Zero stays zero, since noise of magnitude
    images is measured from zero.

    Attributes:
        scale: physical value that becomes 1.0; where channels have ranges of their own, one value a channel, which the
            slices along the last axis take in turn (see `pipeline.image.channels`).
        slope: as in the file's header (NIfTI scl_slope).
        intercept: as in the file's header (NIfTI scl_inter).
        dtype: of the stored values.
    """

    scale: float | tuple[float, ...] = 1.0
    slope: float = 1.0
    intercept: float = 0.0
    dtype: str = "float32"

    def normalise(self, physical: NDArray[np.floating]) -> NDArray[np.float32]:
        """Maps physical to normalised intensities, float32."""
        values = np.asarray(physical)
        # Divided in double precision and rounded once, without an array of doubles in between.
        normalised = np.empty_like(values, dtype=np.float32)
        return np.divide(values, self._scales(values), out=normalised, dtype=np.float64)

    def to_physical(self, normalised: NDArray[np.floating]) -> NDArray[np.float64]:
        """Maps normalised to physical intensities, float64."""
        values = np.asarray(normalised, dtype=np.float64)
        return values * self._scales(values)

    @property
    def shown_scale(self) -> float:
        """By what reports multiply normalised intensities: where channels have ranges of their own, by nothing."""
        return 1.0 if isinstance(self.scale, tuple) else self.scale

    def _scales(self, values: NDArray) -> float | NDArray[np.float64]:
        """The scale, or those of the slices along the last axis."""
        return np.resize(self.scale, values.shape[-1]) if isinstance(self.scale, tuple) else self.scale

    def to_stored(self, normalised: NDArray[np.floating], limits: tuple[int, int] | None = None) -> tuple[NDArray, int]:
        """Maps normalised intensities to the values and dtype of the input file.

        Args:
            normalised: intensities.
            limits: smallest and largest integer that the file can hold; None for those of the dtype.

        Returns:
            The stored values, and how many of them had to be clipped to that range.
        """
        stored = (self.to_physical(normalised) - self.intercept) / self.slope
        dtype = np.dtype(self.dtype)
        if dtype.kind == "f":
            return stored.astype(dtype), 0
        lowest, highest = limits or (np.iinfo(dtype).min, np.iinfo(dtype).max)
        rounded = np.rint(stored)
        saturated = int(np.count_nonzero((rounded < lowest) | (rounded > highest)))
        return clip_to(rounded, lowest, highest).astype(dtype), saturated


def clip_to(values: NDArray[np.float64], lowest: int, highest: int) -> NDArray[np.float64]:
    """Clips to an integer range; the largest 64-bit integers have no float64, so the bound steps inward."""
    top = float(highest)
    if int(top) > highest:
        top = float(np.nextafter(top, 0))
    return np.clip(values, float(lowest), top)
