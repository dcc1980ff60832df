"""N4 bias field correction (Tustison et al., IEEE Transactions on Medical Imaging 29:1310-1320, 2010), by SimpleITK."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

SHRINK = 4
"""The field is smooth, hence fitted on every fourth voxel."""
SMALLEST_SIZE = 2
"""Minimum number of voxels along every axis, also after shrinking."""


def correct_bias(data: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Divide `data` by its estimated bias field.

    Args:
        data: physical intensities, shape (x, y, z), not negative.
        mask: foreground, same shape.

    Returns:
        Corrected intensities, float64.

    Raises:
        UserError: the volume is too thin for a field to be fitted.
    """
    if min(data.shape) < SMALLEST_SIZE:
        raise UserError(f"bias correction needs {SMALLEST_SIZE} slices or more, the shape is {data.shape}.")
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.asarray(data, dtype=np.float32))
    region = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    shrink = [max(1, min(SHRINK, size // SMALLEST_SIZE)) for size in image.GetSize()]
    correction = SimpleITK.N4BiasFieldCorrectionImageFilter()
    correction.SetMaximumNumberOfIterations([30, 30, 30])
    correction.Execute(SimpleITK.Shrink(image, shrink), SimpleITK.Shrink(region, shrink))
    field = SimpleITK.GetArrayFromImage(SimpleITK.Exp(correction.GetLogBiasFieldAsImage(image)))
    return np.asarray(data, dtype=np.float64) / field
