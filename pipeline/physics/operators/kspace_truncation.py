"""k-space truncation: only the central part of k-space is acquired, as by a scanner at lower resolution.

Truncation alone keeps sample 0 in place. Since the images here share cell centres, the truncated spectrum is multiplied
by the phase ramp of a shift by (factor - 1) / 2 voxels. The Nyquist row of even sizes represents both signs of the
frequency; only its real part is kept, so that images stay real. The sharp cut causes Gibbs ringing; a window trades
ringing for blur
(Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004, section 13.1; Harris, Proceedings of the IEEE
66:51-83, 1978).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.config.parameters import PhysicalParameters, Ranged, number, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSENS = True
HAMMING = 0.54


class Parameters(PhysicalParameters):
    """Truncation of k-space (downsamples)."""

    name: Literal["kspace_truncation"] = "kspace_truncation"
    window: Literal["none", "hamming", "tukey"] = "none"
    """window that reduces Gibbs ringing; none applies no window"""
    taper: Ranged[Annotated[float, Field(ge=0, le=1)]] = 0.3
    """tukey only: fraction of the measured k-space, at its edge, over which the window falls to zero"""
    fraction: Ranged[Annotated[float, Field(ge=0.5, le=1)]] = 1.0
    """fraction of the k-space of the low-resolution grid that is measured; the rest is filled with zeros"""

    def describe(self) -> str:
        """Return a description of the operator."""
        tapers = {
            "none": "",
            "hamming": ", Hamming window",
            "tukey": f", Tukey window with a taper of {shown(self.taper)}",
        }
        partly = "" if self.fraction == 1 else f", {shown(self.fraction)} of it acquired and the rest filled with zeros"
        return f"k-space truncation{tapers[self.window]}{partly}"


def axis_matrix(size: int, factor: int, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the truncation along one axis, see `pipeline.physics.operators`; `spacing_mm` is ignored."""
    import numpy as np

    del spacing_mm
    coarse_size = size // factor
    frequencies = np.arange(coarse_size // 2 + 1)
    ramp = np.exp(2j * np.pi * frequencies * (factor - 1) / 2 / size)
    gains = _gains(2 * frequencies / coarse_size, parameters)
    spectrum = np.fft.rfft(np.eye(size), axis=0)[: frequencies.size] * (ramp * gains)[:, None]
    return np.fft.irfft(spectrum, n=coarse_size, axis=0) / factor


def _gains(frequencies: NDArray[np.float64], parameters: Parameters) -> NDArray[np.float64]:
    """Return the gains of frequencies; 1.0 is the Nyquist frequency of the coarse grid."""
    import numpy as np

    place = frequencies / number(parameters.fraction)
    taper = number(parameters.taper)
    measured = (place <= 1 + 1e-12).astype(np.float64)
    place = np.minimum(place, 1)
    if parameters.window == "hamming":
        return measured * (HAMMING + (1 - HAMMING) * np.cos(np.pi * place))
    if parameters.window == "tukey" and taper > 0:
        return measured * (1 + np.cos(np.pi * np.maximum(0, place - 1 + taper) / taper)) / 2
    return measured
