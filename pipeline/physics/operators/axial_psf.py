"""The axial point spread function of an objective, alone or with the light sheet that illuminates its focal plane.

The intensity on the optical axis in the scalar theory of Debye with the sine condition (Born and Wolf, Principles of
Optics, section 8.8; Stamnes, Waves in Focal Regions, chapter 15), the squared modulus of the integral of
sqrt(c) exp(i k n z c) over the cosines c of the angles that the aperture accepts, times the Gaussian profile of the
sheet, integrated over each plane.
Polarisation, aberrations and the spread of defocused light within the planes are neglected. Without a sheet, this light
does not vanish, and the operator is a model of small bright structures alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.parameters import FWHM_PER_SIGMA, PhysicalParameters, Ranged, number, shown
from pipeline.physics.parameters import in_voxels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSENS = False
RINGS = 6
"""Number of dark places on either side of the focus that the profile is truncated at."""
REACH = 5
"""Truncation of the profile of the sheet, in standard deviations."""
NODES = 64
"""Number of Gauss-Legendre nodes over the aperture, and over each lobe of the profile."""


class Parameters(PhysicalParameters):
    """Axial point spread function of a microscope objective, with a light sheet (blurs)."""

    name: Literal["axial_psf"] = "axial_psf"
    along: Literal["through_plane"] = "through_plane"
    """axis across the planes"""
    numerical_aperture: Ranged[Annotated[float, Field(gt=0, le=1.7)]] = 0.5
    """numerical aperture of the objective"""
    wavelength_nm: Ranged[Annotated[float, Field(ge=100, le=2000)]] = 520.0
    """wavelength of the emitted light in vacuum, in nm"""
    refractive_index: Annotated[float, Field(ge=1, le=2)] = 1.33
    """refractive index of the medium: air 1, water 1.33, cleared tissue 1.45 to 1.56; must exceed the numerical
    aperture"""
    sheet_fwhm_um: Ranged[Annotated[float, Field(gt=0, le=1000)]] | None = None
    """thickness of the light sheet (full width at half maximum), in micrometres; null illuminates all planes"""

    @model_validator(mode="after")
    def _check_aperture(self) -> Parameters:
        apertures = self.numerical_aperture
        if (apertures[1] if isinstance(apertures, tuple) else apertures) >= self.refractive_index:
            raise ValueError(f"numerical_aperture must be less than refractive_index, {self.refractive_index:g}")
        return self

    def describe(self) -> str:
        """Return a description of the operator."""
        optics = f"numerical aperture {shown(self.numerical_aperture)}, {shown(self.wavelength_nm, 'nm')}"
        sheet = "" if self.sheet_fwhm_um is None else f", light sheet of {shown(self.sheet_fwhm_um, 'µm')}"
        return f"axial point spread function ({optics}{sheet})"


def axis_matrix(size: int, factor: float, spacing_mm: float | None, parameters: Parameters) -> NDArray[np.float64]:
    """Return the blur along one axis, see `pipeline.physics.operators`.

    Raises:
        UserError: the image has no voxel size.
    """
    import numpy as np

    from pipeline.physics.kernels import blur_matrix

    del factor
    per_um = in_voxels(1e-3, spacing_mm, "axial_psf.wavelength_nm")
    reach_um = RINGS * _dark_um(parameters)
    if parameters.sheet_fwhm_um is not None:
        reach_um = min(reach_um, REACH * number(parameters.sheet_fwhm_um) / FWHM_PER_SIGMA)
    reach = math.ceil(reach_um * per_um)
    lobes = math.ceil(1 / per_um / _dark_um(parameters))
    nodes, weights = np.polynomial.legendre.leggauss(NODES * min(lobes, NODES))
    offsets = np.arange(reach + 1)[:, None] + nodes / 2
    half = (axial_profile(offsets / per_um, parameters) * (np.abs(offsets) <= reach_um * per_um)) @ weights
    kernel = np.concatenate([half[:0:-1], half])
    return blur_matrix(size, kernel / kernel.sum())


def _dark_um(parameters: Parameters) -> float:
    """Return the distance of the first dark place from the focus in the paraxial approximation, in micrometres."""
    index = parameters.refractive_index
    cosine = math.sqrt(1 - (number(parameters.numerical_aperture) / index) ** 2)
    return number(parameters.wavelength_nm) * 1e-3 / index / (1 - cosine)


def axial_profile(z_um: NDArray[np.float64], parameters: Parameters) -> NDArray[np.float64]:
    """Return the intensity at distances from the focus along the optical axis, relative to the focus.

    Args:
        z_um: distances in micrometres, any shape.
        parameters: without ranges.
    """
    import numpy as np

    index = parameters.refractive_index
    lowest = math.sqrt(1 - (number(parameters.numerical_aperture) / index) ** 2)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    cosines = lowest + (1 - lowest) * (nodes + 1) / 2
    amplitudes = weights * np.sqrt(cosines)
    # The common phase of all angles is left out, since only the magnitude counts.
    phases = 2 * math.pi * index / (number(parameters.wavelength_nm) * 1e-3) * (cosines - lowest)
    waves = np.exp(1j * z_um[..., None] * phases) @ amplitudes
    profile = np.abs(waves / amplitudes.sum()) ** 2
    if parameters.sheet_fwhm_um is not None:
        profile *= np.exp(-0.5 * (z_um / (number(parameters.sheet_fwhm_um) / FWHM_PER_SIGMA)) ** 2)
    return profile
