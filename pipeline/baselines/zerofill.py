"""Zero filling of k-space, as on the scanner console (Bernstein, Fain and Riederer, JMRI 14, 2001).

Since the images share cell centres, the zero-filled spectrum is multiplied by the inverse of the phase ramp in
pipeline/physics/operators/kspace_truncation.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.physics.forward import ForwardModel
from pipeline.physics.interpolation import enlarge

TITLE = "Zero-filled k-space"
DESCRIPTION = (
    "Zero filling of the acquired k-space "
    "(Bernstein, Fain and Riederer, Journal of Magnetic Resonance Imaging 14:270-280, 2001)."
)


def axis_matrix(size: int, factor: int) -> NDArray[np.float64]:
    """Return the trigonometric interpolation along one axis, of shape (size * factor, size).

    The Nyquist row of an even size represents both signs of its frequency and is split equally between them, so that
    the interpolant has minimum energy.
    """
    fine_size = size * factor
    spectrum = np.fft.rfft(np.eye(size), axis=0)
    ramp = np.exp(-2j * np.pi * np.arange(len(spectrum)) * (factor - 1) / 2 / fine_size)
    spectrum = spectrum * ramp[:, None]
    if size % 2 == 0:
        spectrum[-1] /= 2
    return np.fft.irfft(spectrum, n=fine_size, axis=0) * factor


def upsample(lr: NDArray[np.floating], model: ForwardModel, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Interpolate by zero filling; see `pipeline.baselines` for arguments and result."""
    del settings
    return enlarge(lr, model.factors, axis_matrix)
