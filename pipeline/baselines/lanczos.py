"""Windowed sinc interpolation with three lobes (Duchon, Journal of Applied Meteorology 18, 1979)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipeline.baselines import _pillow
from pipeline.physics.forward import ForwardModel

TITLE = "Lanczos"
DESCRIPTION = (
    "Sinc interpolation with a sinc window of three lobes (Duchon, Journal of Applied Meteorology 18:1016-1022, 1979)."
)


def upsample(lr: NDArray[np.floating], model: ForwardModel, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Interpolate by Pillow's Lanczos kernel; see `pipeline.baselines` for arguments and result."""
    del settings
    return _pillow.resample(lr, model.factors, PIL.Image.Resampling.LANCZOS)
