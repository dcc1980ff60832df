"""Cubic convolution with a = -0.5 (Keys, IEEE Transactions on Acoustics, Speech and Signal Processing 29, 1981)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipeline.baselines import _pillow
from pipeline.physics.forward import ForwardModel

TITLE = "Bicubic"
DESCRIPTION = (
    "Cubic convolution with a = -0.5 "
    "(Keys, IEEE Transactions on Acoustics, Speech and Signal Processing 29:1153-1160, 1981)."
)


def upsample(lr: NDArray[np.floating], model: ForwardModel, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Interpolate by Pillow's bicubic kernel; see `pipeline.baselines` for arguments and result."""
    del settings
    return _pillow.resample(lr, model.factors, PIL.Image.Resampling.BICUBIC)
