"""Random voxel size and point spread function of an image that is drawn from a label map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ROTATION_PROBABILITY = 0.5
VOXEL_MM_RANGE = (0.5, 1.5)
ZOOM_RANGE = (0.4, 2.0)
"""Limits of the voxel size relative to that of the label map."""
PSF_RANGE = (0.4, 0.65)
"""Range of the standard deviation of the point spread function, in voxels of the image."""
MIN_PSF = 0.55
"""Minimum standard deviation in voxels of the label map; a narrower one would show its voxels."""
SAME_SPACING = 0.01
"""Maximum relative difference of the voxel sizes along rows and columns of a label map that is rotated."""
REACH = 3.0
"""Radius of the point spread function, in standard deviations."""


@dataclass(frozen=True)
class Resolution:
    """Sampling of a label map along rows and columns; slices keep their spacing.

    The label map is rotated first, by nearest neighbours, so that no labels are mixed.

    Attributes:
        zoom: voxel size of the image relative to that of the label map.
        psf: standard deviation of the Gaussian point spread function, in voxels of the label map.
        centre: row and column that image and label map share.
        angle: of the rotation of the label map around the centre, in radians.
    """

    zoom: float
    psf: float
    centre: tuple[float, float]
    angle: float = 0.0

    def places(self, axis: int, size: int) -> NDArray[np.floating]:
        """Return the position of each row (axis 0) or column (1) of the image in the rotated label map."""
        return self.centre[axis] + (np.arange(size) - self.centre[axis]) * self.zoom

    def turned(
        self, rows: NDArray[np.floating], columns: NDArray[np.floating], back: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the positions in the label map of positions in the rotated one; the inverse with `back`."""
        (first, second), angle = self.centre, -self.angle if back else self.angle
        cosine, sine = np.cos(angle), np.sin(angle)
        along, across = rows - first, columns - second
        return first + cosine * along - sine * across, second + sine * along + cosine * across

    def sampling(self, axis: int, window: slice) -> tuple[slice, NDArray[np.float32]]:
        """Return how a range of the image is computed from the label map along rows (0) or columns (1).

        Returns:
            The range of the label map that contributes, which may exceed it on both sides, and the weights, shape
            (size of the window, size of this range).
        """
        return _sampling(window.start, window.stop, self.centre[axis], self.zoom, self.psf)

    @property
    def slice_weights(self) -> NDArray[np.float32]:
        """Weights of adjacent slices; an odd number, the slice itself in the middle."""
        radius = max(1, int(REACH * self.psf))
        return _gaussian(np.arange(-radius, radius + 1.0)[None], self.psf)[0]


def draw_resolution(
    spacing_mm: tuple[float, float] | None, centre: tuple[float, float], generator: np.random.Generator
) -> Resolution:
    """Draw voxel size, point spread function and rotation; voxels that are not square are not rotated.

    Args:
        spacing_mm: voxel size of the label map along rows and columns; None is taken as 1 mm.
        centre: row and column around which the image is enlarged.
        generator: source of the random numbers.
    """
    zoom = float(generator.uniform(*zoom_range(spacing_mm)))
    is_square = spacing_mm is None or np.ptp(spacing_mm) <= SAME_SPACING * max(spacing_mm)
    rotated = generator.random() < ROTATION_PROBABILITY and is_square
    angle = float(generator.uniform(0, 2 * np.pi)) if rotated else 0.0
    return Resolution(zoom, draw_psf(zoom, generator), centre, angle)


def zoom_range(spacing_mm: tuple[float, float] | None) -> tuple[float, float]:
    """Return the range of the voxel size relative to that of a label map.

    Args:
        spacing_mm: voxel size of the label map along rows and columns; None is taken as 1 mm.
    """
    own = float(np.sqrt(np.prod(spacing_mm or (1.0, 1.0))))
    low, high = (float(np.clip(size / own, *ZOOM_RANGE)) for size in VOXEL_MM_RANGE)
    return low, high


def draw_psf(zoom: float, generator: np.random.Generator) -> float:
    """Draw the standard deviation of the point spread function, in voxels of the label map."""
    return max(MIN_PSF, zoom * float(generator.uniform(*PSF_RANGE)))


@lru_cache(maxsize=4)
def _sampling(start: int, stop: int, centre: float, zoom: float, psf: float) -> tuple[slice, NDArray[np.float32]]:
    places = centre + (np.arange(start, stop) - centre) * zoom
    first, last = int(np.floor(places[0] - REACH * psf)), int(np.ceil(places[-1] + REACH * psf))
    return slice(first, last + 1), _gaussian(np.arange(first, last + 1.0) - places[:, None], psf)


def _gaussian(distances: NDArray[np.float64], psf: float) -> NDArray[np.float32]:
    """Return Gaussian weights of sum 1 along the last axis, and 0 beyond `REACH`."""
    relative = (distances / psf).astype(np.float32)
    weights = np.where(np.abs(relative) <= REACH, np.exp(-0.5 * np.square(relative)), np.float32(0))
    return weights / weights.sum(axis=-1, keepdims=True)
