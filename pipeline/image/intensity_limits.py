"""Intensities far beyond the range: hot pixels, metal, dead voxels, burnt-in marks.

A network sees many voxels at once, so that a single voxel of many times the range would change its result far away.
Networks are trained on intensities within `LIMITS`, and see no others when they restore. What lies beyond is
interpolated linearly, which has the shortest reach, and added to the result.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

logger = logging.getLogger(__name__)

LIMITS = (-0.25, 1.5)
"""Lowest and highest normalised intensity that a network sees. 0 is the 0.1th percentile of an image, 1 the 99.9th
percentile of its foreground; noise and the brightest vessels lie within."""


class Limited(NamedTuple):
    """An image without intensities far beyond the range.

    Attributes:
        values: the image within `LIMITS`, float32.
        excess: what was cut off, of the same shape; None if nothing was.
    """

    values: NDArray[np.float32]
    excess: NDArray[np.float32] | None

    @property
    def voxels(self) -> int:
        """Number of voxels that were limited."""
        return 0 if self.excess is None else int(np.count_nonzero(self.excess))

    def added_to(self, restored: NDArray[np.float32], factors: Sequence[float]) -> NDArray[np.float32]:
        """Return the restored image with the excess, interpolated.

        Args:
            restored: result for `values`, larger by the factors along the last axes.
            factors: enlargement along each axis of `values`.
        """
        if self.excess is None:
            return restored
        scales = [1 / factor for factor in factors]
        shifts = [(scale - 1) / 2 for scale in scales]
        fine = np.empty(restored.shape[-self.excess.ndim :], dtype=np.float32)
        ndimage.affine_transform(self.excess, scales, shifts, output=fine, order=1, mode="nearest")  # pyright: ignore[reportArgumentType]
        return restored + fine

    def log(self, name: object) -> None:
        """Log how many voxels were limited, if any were."""
        if self.voxels:
            log_limited(name, self.voxels)


def log_limited(name: object, count: int) -> None:
    """Log that some voxels of an image were limited."""
    logger.warning(
        "%s: %d %s far outside the intensity range (below %g or above %g of it); their intensities are clipped for the "
        "network, and the excess is interpolated and added to the result",
        *(name, count, "voxel lies" if count == 1 else "voxels lie", *LIMITS),
    )


def limited(image: NDArray[np.floating]) -> Limited:
    """Limit the intensities of a normalised image of any shape."""
    values = np.asarray(image, dtype=np.float32)
    low, high = LIMITS
    if values.size == 0 or (values.min() >= low and values.max() <= high):
        return Limited(values, None)
    within = np.clip(values, low, high)
    return Limited(within, values - within)
