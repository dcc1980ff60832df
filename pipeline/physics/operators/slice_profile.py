"""The slice profile: the through-plane weighting of an acquired slice.

The weights are a Gaussian, a rectangle, or the profile excited by a Hamming-windowed sinc pulse, which is the Fourier
transform of the pulse for small flip angles (Bernstein, King and Zhou, Handbook of MRI Pulse Sequences,
2004, sections 2.2 and 8.3; Pauly, Nishimura and Macovski, Journal of Magnetic Resonance 81:43-56, 1989).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.parameters import FWHM_PER_SIGMA, Direction, PhysicalParameters, Ranged, number, shown
from pipeline.errors import UserError
from pipeline.image.lengths import lengths_in_words
from pipeline.physics.parameters import in_voxels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSENS = False
REACH = 3
"""Truncation radius of the profile in slice thicknesses."""
PULSE_SAMPLES = 1001
HAMMING = 0.54

Millimetres = Annotated[float, Field(gt=0, le=50)]


class Parameters(PhysicalParameters):
    """Profile of slice-selective excitation (blurs)."""

    name: Literal["slice_profile"] = "slice_profile"
    along: Direction = "through_plane"
    """axes along which the profile is applied"""
    profile: Literal["gaussian", "rect", "windowed_sinc"] = "gaussian"
    """shape of the profile"""
    thickness_mm: Ranged[Millimetres] | None = None
    """slice thickness (full width at half maximum), in mm; null uses the slice spacing minus the gap"""
    relative_thickness: Ranged[Annotated[float, Field(gt=0, le=4)]] | None = None
    """slice thickness relative to the slice spacing, instead of thickness_mm and gap_mm; null uses these"""
    gap_mm: Ranged[Annotated[float, Field(ge=0, le=50)]] = 0.0
    """gap between neighbouring slices, in mm, if no thickness is given"""
    time_bandwidth: Ranged[Annotated[float, Field(ge=2, le=16)]] = 4.0
    """windowed_sinc only: time-bandwidth product of the pulse; higher values give steeper edges"""

    @model_validator(mode="after")
    def _check_one_thickness(self) -> Parameters:
        if self.relative_thickness is not None and (self.thickness_mm is not None or self.gap_mm):
            raise ValueError("relative_thickness: excludes thickness_mm and gap_mm; give one of them")
        return self

    def describe(self) -> str:
        """Return a description of the operator."""
        shape = {"gaussian": "Gaussian", "rect": "rectangular", "windowed_sinc": "windowed-sinc"}[self.profile]
        if self.relative_thickness is not None:
            width = f"{shown(self.relative_thickness)} times the slice spacing"
            return f"{shape} slice profile with a full width at half maximum of {width}"
        spacing = f"the slice spacing minus a gap of {_in_words(self.gap_mm)}" if self.gap_mm else "the slice spacing"
        width = spacing if self.thickness_mm is None else _in_words(self.thickness_mm)
        return f"{shape} slice profile with a full width at half maximum of {width}"


def _in_words(length_mm: float | tuple[float, float]) -> str:
    """Return a length or a range of lengths as text."""
    return lengths_in_words(length_mm if isinstance(length_mm, tuple) else (length_mm,), " to ")


def axis_matrix(size: int, factor: float, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the blur by the profile along one axis, see `pipeline.physics.operators`.

    Raises:
        UserError: the gap exceeds the slice spacing, or a length is given but the voxel size is unknown.
    """
    from pipeline.physics.kernels import blur_matrix, voxel_weights

    width = width_in_voxels(factor, spacing_mm, parameters)
    return blur_matrix(size, voxel_weights(lambda x: cumulative(x / width, parameters), math.ceil(REACH * width)))


def width_in_voxels(factor: float, spacing_mm: float | None, parameters: Parameters) -> float:
    """Return the full width at half maximum in high-resolution voxels.

    Args:
        factor: distance of the slices in high-resolution voxels.
        spacing_mm: size of these voxels in mm; None if unknown.
        parameters: without ranges.

    Raises:
        UserError: as `axis_matrix`.
    """
    if parameters.relative_thickness is not None:
        return factor * number(parameters.relative_thickness)
    if parameters.thickness_mm is not None:
        return in_voxels(number(parameters.thickness_mm), spacing_mm, "slice_profile.thickness_mm")
    gap = number(parameters.gap_mm)
    if gap == 0:
        return float(factor)
    width = factor - in_voxels(gap, spacing_mm, "slice_profile.gap_mm")
    if width <= 0:
        raise UserError(
            f"degrade.operators: slice_profile.gap_mm: {lengths_in_words([gap])} is not smaller than the slice "
            f"spacing of {lengths_in_words([factor * (spacing_mm or 0)])}; set a smaller gap, or thickness_mm."
        )
    return width


def cumulative(place: NDArray[np.float64], parameters: Parameters) -> NDArray[np.float64]:
    """Return the integral of the profile from its centre to positions in slice thicknesses."""
    import numpy as np
    from scipy import special

    if parameters.profile == "gaussian":
        return special.erf(place * FWHM_PER_SIGMA / math.sqrt(2)) / 2
    if parameters.profile == "rect":
        return np.clip(place, -0.5, 0.5)
    # The profile is the integral of pulse(t) cos(2 pi bandwidth place t) over the pulse, whose duration is set to 1.
    bandwidth = number(parameters.time_bandwidth)
    time = (np.arange(PULSE_SAMPLES) + 0.5) / PULSE_SAMPLES - 0.5
    pulse = np.sinc(bandwidth * time) * (HAMMING + (1 - HAMMING) * np.cos(2 * np.pi * time))
    return np.sinc(2 * np.outer(place * bandwidth, time)) @ pulse * place * bandwidth / PULSE_SAMPLES
