"""Partial Fourier sampling: of one side of k-space only the part next to the centre is measured.

The missing lines are zeros. Of a real object, the real part of such an image weighs frequencies that were measured on
one side by a half, and those measured on both sides by one (Bernstein, King and Zhou, Handbook of MRI Pulse Sequences,
2004, section 13.4). Left out is what is not linear: the magnitude, which adds the imaginary part, the phase of the
object, and homodyne reconstruction, which would restore the weights.
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
    """fraction of k-space that is measured, from 5/8 to 1"""

    def words(self) -> str:
        """Return the step in words."""
        return f"partial Fourier sampling of {shown(self.fraction)} of k-space along the {self.along} axis of the plane"


def axis_matrix(size: int, factor: int, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the blur along one axis, see the package; the k-space it is part of is the low-resolution grid's."""
    import numpy as np

    from pipeline.physics.kernels import filter_matrix

    del spacing_mm
    nyquist = size // factor / 2
    frequencies = np.arange(size // 2 + 1)
    on_both_sides = frequencies <= (2 * number(parameters.fraction) - 1) * nyquist + 1e-9
    return filter_matrix(size, np.where(on_both_sides, 1.0, 0.5))
