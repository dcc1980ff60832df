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
from pipeline.physics.interpolation import enlarge, fine_centres

TITLE = "Zero-filled k-space"
DESCRIPTION = (
    "Zero filling of the acquired k-space "
    "(Bernstein, Fain and Riederer, Journal of Magnetic Resonance Imaging 14:270-280, 2001)."
)


def axis_matrix(size: int, factor: float) -> NDArray[np.float64]:
    """Return the trigonometric interpolation along one axis, of shape (padded size, size).

    The Nyquist row of an even size represents both signs of its frequency and is split equally between them, so that
    the interpolant has minimum energy.
    """
    spectrum = np.fft.rfft(np.eye(size), axis=0)
    frequencies = np.arange(len(spectrum))
    if size % 2 == 0:
        spectrum[-1] /= 2
    if isinstance(factor, int):
        ramp = np.exp(-2j * np.pi * frequencies * (factor - 1) / 2 / (size * factor))
        return np.fft.irfft(spectrum * ramp[:, None], n=size * factor, axis=0) * factor
    waves = np.exp(2j * np.pi / size * np.outer(fine_centres(size, factor), frequencies))
    return ((waves * np.where(frequencies == 0, 1, 2)) @ spectrum).real / size


def upsample(lr: NDArray[np.floating], model: ForwardModel, settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Interpolate by zero filling; see `pipeline.baselines` for arguments and result."""
    del settings
    return enlarge(lr, model.factors, axis_matrix)
