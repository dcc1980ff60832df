"""k-space truncation: only the central part of k-space is acquired, as by a scanner at lower resolution.

Truncation alone keeps sample 0 in place. Since the images here share cell centres, the truncated spectrum is multiplied
by the phase ramp of a shift by (factor - 1) / 2 voxels. The Nyquist row of even sizes represents both signs of the
frequency; only its real part is kept, so that images stay real. If the factor s is not a whole number, the frequencies
up to the Nyquist frequency, N / (2 s) for a period of N voxels, are evaluated at the cell centres. The sharp cut causes
Gibbs ringing; a window trades ringing for blur (Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004,
section 13.1; Harris, Proceedings of the IEEE 66:51-83, 1978).
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
    """tukey only: fraction of the acquired k-space, at its edge, over which the window falls to zero"""
    fraction: Ranged[Annotated[float, Field(ge=0.5, le=1)]] = 1.0
    """fraction of the k-space of the low-resolution grid that is acquired; the rest is filled with zeros"""

    def describe(self) -> str:
        """Return a description of the operator."""
        tapers = {
            "none": "",
            "hamming": ", Hamming window",
            "tukey": f", Tukey window with a taper of {shown(self.taper)}",
        }
        partly = "" if self.fraction == 1 else f", {shown(self.fraction)} of it acquired and the rest filled with zeros"
        return f"k-space truncation{tapers[self.window]}{partly}"


def axis_matrix(size: int, factor: float, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the truncation along one axis, see `pipeline.physics.operators`; `spacing_mm` is ignored."""
    import numpy as np

    from pipeline.physics.grid import ROUNDING, cell_centres, whole_cells

    del spacing_mm
    coarse_size = whole_cells(size, factor)
    frequencies = np.arange(int(size / factor / 2 + ROUNDING) + 1)
    places = 2 * frequencies * factor / size
    gains = _gains(places, parameters)
    spectrum = np.fft.rfft(np.eye(size), axis=0)[: frequencies.size]
    if isinstance(factor, int):
        ramp = np.exp(2j * np.pi * frequencies * (factor - 1) / 2 / size)
        return np.fft.irfft(spectrum * (ramp * gains)[:, None], n=coarse_size, axis=0) / factor
    # Frequency 0 and the Nyquist frequency occur once, the others with both signs.
    once = (frequencies == 0) | (places > 1 - ROUNDING)
    waves = np.exp(2j * np.pi / size * np.outer(cell_centres(coarse_size, factor), frequencies))
    return ((waves * gains * np.where(once, 1, 2)) @ spectrum).real / size


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
