"""Partial Fourier sampling: one side of k-space is acquired only near the centre.

The missing lines are filled with zeros. For a real object, the real part of the image weights frequencies that were
acquired on one side by 1/2, and frequencies acquired on both sides by 1 (Bernstein, King and Zhou, Handbook of MRI
Pulse Sequences, 2004, section 13.4). Non-linear effects are neglected: the magnitude, which adds the imaginary part,
the phase of the object, and homodyne reconstruction, which would restore the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.config.parameters import PhysicalParameters, Ranged, number, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSENS = False


class Parameters(PhysicalParameters):
    """Partial Fourier sampling along one in-plane axis (blurs)."""

    name: Literal["partial_fourier"] = "partial_fourier"
    along: Literal["first", "second"] = "second"
    """phase-encoding axis: the first or the second in-plane axis, in the order x, y, z"""
    fraction: Ranged[Annotated[float, Field(ge=0.625, le=1)]] = 0.75
    """fraction of k-space that is acquired, from 5/8 to 1"""

    def describe(self) -> str:
        """Return a description of the operator."""
        return f"partial Fourier sampling of {shown(self.fraction)} of k-space along the {self.along} in-plane axis"


def axis_matrix(size: int, factor: float, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the blur along one axis, for the k-space of the low-resolution grid, see `pipeline.physics.operators`."""
    import numpy as np

    from pipeline.physics.kernels import filter_matrix

    del spacing_mm
    nyquist = size / factor / 2
    frequencies = np.arange(size // 2 + 1)
    on_both_sides = frequencies <= (2 * number(parameters.fraction) - 1) * nyquist + 1e-9
    return filter_matrix(size, np.where(on_both_sides, 1.0, 0.5))
