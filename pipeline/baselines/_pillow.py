"""Interpolation by the convolution kernels of Pillow, which uses the same grid of cell centres.

With `box`, Pillow resamples a part of an image with fractional edges, hence by any real factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipeline.physics.grid import covered_shape, padded_shape


def resample(lr: NDArray[np.floating], factors: Sequence[float], kernel: PIL.Image.Resampling) -> NDArray[np.float32]:
    """Upsample an n-dimensional array axis by axis; kernels are renormalised at the borders."""
    result = np.asarray(lr, dtype=np.float32)
    for axis, factor in enumerate(factors):
        if factor > 1:
            result = _resample_axis(result, axis, factor, kernel)
    return np.ascontiguousarray(result)


def _resample_axis(
    data: NDArray[np.float32], axis: int, factor: float, kernel: PIL.Image.Resampling
) -> NDArray[np.float32]:
    """Upsample one axis by reshaping the array to a 2-D image, whose rows Pillow resamples at once."""
    moved = np.moveaxis(data, axis, -1)
    width = moved.shape[-1]
    picture = PIL.Image.fromarray(np.ascontiguousarray(moved.reshape(-1, width)))
    (covered,), (padded,) = covered_shape([width], [factor]), padded_shape([width], [factor])
    box = (0, 0, min(covered / factor, width), picture.height)
    enlarged = np.asarray(picture.resize((covered, picture.height), kernel, box))
    # Voxels that no low-resolution voxel covers as a whole lie in the padding.
    enlarged = np.pad(enlarged, [(0, 0), (0, padded - covered)], mode="edge")
    return np.moveaxis(enlarged.reshape(*moved.shape[:-1], padded), -1, axis)
