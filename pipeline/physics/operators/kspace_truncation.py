"""Coarsening as a scanner does it: only the central part of k-space is measured.

Cutting k-space alone keeps sample 0 in place; the images here share cell centres, so that the cut spectrum gets the
phase ramp of a shift by (factor - 1) / 2 voxels. The Nyquist row of even sizes stands for both signs of the frequency
and keeps its real part, so that real images stay real.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def axis_matrix(size: int, factor: int) -> NDArray[np.float64]:
    """Returns the operator along one axis.

    Args:
        size: high-resolution samples along the axis, a multiple of `factor`.
        factor: high-resolution samples per low-resolution sample.

    Returns:
        Matrix of shape (size // factor, size) whose product with a column of samples is the coarsened column.
    """
    coarse_size = size // factor
    frequencies = np.arange(coarse_size // 2 + 1)
    ramp = np.exp(2j * np.pi * frequencies * (factor - 1) / 2 / size)
    spectrum = np.fft.rfft(np.eye(size), axis=0)[: frequencies.size] * ramp[:, None]
    return np.fft.irfft(spectrum, n=coarse_size, axis=0) / factor
