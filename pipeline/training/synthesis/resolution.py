"""Random voxel size and point spread function of an image that is drawn from a label map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

VOXEL_MM_RANGE = (0.5, 1.5)
ZOOM_RANGE = (0.4, 2.0)
"""Range of the voxel size relative to that of the label map."""
PSF_RANGE = (0.4, 0.65)
"""Range of the standard deviation of the point spread function, in voxels of the image."""
MIN_PSF = 0.55
"""Minimum standard deviation in voxels of the label map; a narrower one would show its voxels."""
REACH = 2.5
"""Radius of the point spread function, in standard deviations."""


@dataclass(frozen=True)
class Resolution:
    """Sampling of a label map along rows and columns; slices keep their spacing.

    Attributes:
        zoom: voxel size of the image relative to that of the label map.
        psf: standard deviation of the Gaussian point spread function, in voxels of the label map.
        centre: row and column that image and label map share.
    """

    zoom: float
    psf: float
    centre: tuple[float, float]

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
        radius = max(1, round(REACH * self.psf - 0.5))
        return _gaussian(np.arange(-radius, radius + 1.0)[None], self.psf)[0]


def draw_resolution(
    spacing_mm: tuple[float, float] | None, centre: tuple[float, float], generator: np.random.Generator
) -> Resolution:
    """Draw voxel size and point spread function.

    Args:
        spacing_mm: voxel size of the label map along rows and columns; None is taken as 1 mm.
        centre: row and column around which the image is enlarged.
        generator: source of the random numbers.
    """
    own = float(np.sqrt(np.prod(spacing_mm or (1.0, 1.0))))
    zoom = float(np.clip(generator.uniform(*VOXEL_MM_RANGE) / own, *ZOOM_RANGE))
    return Resolution(zoom, draw_psf(zoom, generator), centre)


def draw_psf(zoom: float, generator: np.random.Generator) -> float:
    """Draw the standard deviation of the point spread function, in voxels of the label map."""
    return max(MIN_PSF, zoom * float(generator.uniform(*PSF_RANGE)))


@lru_cache(maxsize=4)
def _sampling(start: int, stop: int, centre: float, zoom: float, psf: float) -> tuple[slice, NDArray[np.float32]]:
    places = centre + (np.arange(start, stop) - centre) * zoom
    first, last = int(np.floor(places[0] - REACH * psf)), int(np.ceil(places[-1] + REACH * psf))
    return slice(first, last + 1), _gaussian(np.arange(first, last + 1.0) - places[:, None], psf)


def _gaussian(distances: NDArray[np.float64], psf: float) -> NDArray[np.float32]:
    """Return Gaussian weights of sum 1 along the last axis."""
    weights = np.exp(-0.5 * np.square((distances / psf).astype(np.float32)))
    return weights / weights.sum(axis=-1, keepdims=True)
