"""A Gaussian point spread function of known width, or matched to that of a wide-field microscope.

For a numerical aperture and wavelength, sigma = wavelength / (sqrt(2) pi aperture), which matches the curvature of the
Airy pattern at its peak (Zhang, Zerubia and Olivo-Marin, Applied Optics 46:1819-1829, 2007, two-dimensional paraxial
case).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.parameters import FWHM_PER_SIGMA, Direction, PhysicalParameters, Ranged, number, shown
from pipeline.physics.parameters import in_voxels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSENS = False
REACH = 5
"""Truncation radius of the kernel in standard deviations."""


class Parameters(PhysicalParameters):
    """Gaussian point spread function (blurs); specify its width in one of four ways."""

    name: Literal["gaussian_psf"] = "gaussian_psf"
    along: Direction = "in_plane"
    """axes that are blurred"""
    fwhm_mm: Ranged[Annotated[float, Field(gt=0, le=50)]] | None = None
    """full width at half maximum, in mm"""
    fwhm_um: Ranged[Annotated[float, Field(gt=0, le=1000)]] | None = None
    """full width at half maximum, in micrometres"""
    fwhm_voxels: Ranged[Annotated[float, Field(gt=0, le=100)]] | None = None
    """full width at half maximum, in voxels of the grid on which the operator acts"""
    numerical_aperture: Ranged[Annotated[float, Field(gt=0, le=1.7)]] | None = None
    """numerical aperture of the objective, together with wavelength_nm"""
    wavelength_nm: Ranged[Annotated[float, Field(ge=100, le=2000)]] | None = None
    """wavelength of the light in vacuum, in nm"""

    @model_validator(mode="after")
    def _check_width(self) -> Parameters:
        optics = (self.numerical_aperture, self.wavelength_nm)
        ways = [self.fwhm_mm, self.fwhm_um, self.fwhm_voxels, None if optics == (None, None) else optics]
        if sum(way is not None for way in ways) != 1 or (None in optics and optics != (None, None)):
            raise ValueError(
                "set the width in exactly one way: fwhm_mm, fwhm_um, fwhm_voxels, or numerical_aperture together with "
                "wavelength_nm"
            )
        return self

    def describe(self) -> str:
        """Return a description of the operator."""
        if self.numerical_aperture is not None and self.wavelength_nm is not None:
            width = f"for an aperture of {shown(self.numerical_aperture)} at {shown(self.wavelength_nm, 'nm')}"
        else:
            given = ((self.fwhm_mm, "mm"), (self.fwhm_um, "µm"), (self.fwhm_voxels, "voxels"))
            words = [shown(value, unit) for value, unit in given if value is not None]
            width = f"with a full width at half maximum of {words[0]}"
        return f"Gaussian point spread function {width}"


def axis_matrix(size: int, factor: float, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the blur along one axis, see `pipeline.physics.operators`.

    Raises:
        UserError: the width is a length, but the voxel size of the image is unknown.
    """
    from scipy import special

    from pipeline.physics.kernels import blur_matrix, voxel_weights

    del factor
    sigma = _sigma(spacing_mm, parameters)
    return blur_matrix(
        size, voxel_weights(lambda x: special.erf(x / sigma / math.sqrt(2)) / 2, math.ceil(REACH * sigma))
    )


def _sigma(spacing_mm: float | None, parameters: Parameters) -> float:
    """Return the standard deviation in voxels."""
    if parameters.fwhm_voxels is not None:
        return number(parameters.fwhm_voxels) / FWHM_PER_SIGMA
    if parameters.fwhm_mm is not None:
        return in_voxels(number(parameters.fwhm_mm) / FWHM_PER_SIGMA, spacing_mm, "gaussian_psf.fwhm_mm")
    if parameters.fwhm_um is not None:
        return in_voxels(number(parameters.fwhm_um) / FWHM_PER_SIGMA * 1e-3, spacing_mm, "gaussian_psf.fwhm_um")
    wavelength_mm = number(parameters.wavelength_nm or 0) * 1e-6
    sigma = wavelength_mm / (math.sqrt(2) * math.pi * number(parameters.numerical_aperture or 0))
    return in_voxels(sigma, spacing_mm, "gaussian_psf.wavelength_nm")
