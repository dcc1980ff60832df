"""Interpolation by the convolution kernels of Pillow, which uses the same grid of cell centres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
from numpy.typing import NDArray


def resample(lr: NDArray[np.floating], factors: Sequence[int], kernel: PIL.Image.Resampling) -> NDArray[np.float32]:
    """Upsample an n-dimensional array axis by axis; kernels are renormalised at the borders."""
    result = np.asarray(lr, dtype=np.float32)
    for axis, factor in enumerate(factors):
        if factor > 1:
            result = _resample_axis(result, axis, factor, kernel)
    return np.ascontiguousarray(result)


def _resample_axis(
    data: NDArray[np.float32], axis: int, factor: int, kernel: PIL.Image.Resampling
) -> NDArray[np.float32]:
    """Upsample one axis by reshaping the array to a 2-D image, whose rows Pillow resamples at once."""
    moved = np.moveaxis(data, axis, -1)
    width = moved.shape[-1]
    picture = PIL.Image.fromarray(np.ascontiguousarray(moved.reshape(-1, width)))
    enlarged = np.asarray(picture.resize((width * factor, picture.height), kernel))
    return np.moveaxis(enlarged.reshape(*moved.shape[:-1], width * factor), -1, axis)
