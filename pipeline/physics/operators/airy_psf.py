"""The Airy pattern: the in-focus point spread function of a wide-field microscope with a circular aperture.

Scalar and paraxial: intensity (2 J1(v) / v)^2 with v = 2 pi aperture radius / wavelength (Born and Wolf, Principles of
Optics, section 8.5.2), integrated over each camera pixel. Defocus, aberrations and polarisation, which matters above an
aperture of about 1, are neglected. The pattern is not separable; it is approximated by a short sum of separable
kernels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.parameters import PhysicalParameters, Ranged, number, shown
from pipeline.physics.parameters import in_voxels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COARSENS = False
MAX_V = 32.2
"""Maximum v: the pattern is truncated at its tenth dark ring, which encloses 98 % of the light."""
SUBPIXELS = 6
"""Number of Gauss-Legendre nodes along each side of a pixel, for the integration of the pattern."""
REMAINDER = 1e-4
"""Maximum squared error of the separable approximation, as a fraction of the energy of the kernel."""


class Parameters(PhysicalParameters):
    """In-plane Airy pattern of a microscope objective (blurs)."""

    name: Literal["airy_psf"] = "airy_psf"
    numerical_aperture: Ranged[Annotated[float, Field(gt=0, le=1.7)]] = 0.8
    """numerical aperture of the objective"""
    wavelength_nm: Ranged[Annotated[float, Field(ge=100, le=2000)]] = 520.0
    """wavelength of the light in vacuum, in nm"""
    refractive_index: Annotated[float, Field(ge=1, le=2)] = 1.0
    """refractive index of the immersion medium: air 1, water 1.33, oil 1.52; must exceed the numerical aperture"""

    @model_validator(mode="after")
    def _check_aperture(self) -> Parameters:
        apertures = self.numerical_aperture
        if (apertures[1] if isinstance(apertures, tuple) else apertures) >= self.refractive_index:
            raise ValueError(
                f"numerical_aperture must be less than refractive_index, {self.refractive_index:g}; an immersion "
                "objective needs that of its medium (water 1.33, oil 1.52)"
            )
        return self

    def describe(self) -> str:
        """Return a description of the operator."""
        optics = f"numerical aperture {shown(self.numerical_aperture)}, {shown(self.wavelength_nm, 'nm')}"
        return f"Airy point spread function ({optics})"


def plane_terms(
    sizes: tuple[int, int], spacings_mm: tuple[float | None, float | None], parameters: Parameters
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the in-plane blur as pairs of square matrices, see `pipeline.physics.operators`.

    Raises:
        UserError: the image has no voxel size.
    """
    from pipeline.physics.kernels import blur_matrix, separable_terms

    wavelength_mm = number(parameters.wavelength_nm) * 1e-6
    per_v = wavelength_mm / (2 * math.pi * number(parameters.numerical_aperture))
    radii = [in_voxels(per_v, spacing, "airy_psf.wavelength_nm") for spacing in spacings_mm]
    terms = separable_terms(kernel((radii[0], radii[1])), REMAINDER)
    return [(blur_matrix(sizes[0], one), blur_matrix(sizes[1], other)) for one, other in terms]


def kernel(radii: tuple[float, float]) -> NDArray[np.float64]:
    """Return the pattern integrated over every pixel, shape (2 reach + 1, 2 reach + 1), with sum 1.

    Args:
        radii: number of pixels along both axes that correspond to an increase of v by 1.
    """
    import numpy as np
    from scipy import special

    nodes, weights = np.polynomial.legendre.leggauss(SUBPIXELS)
    reaches = [math.ceil(MAX_V * radius) for radius in radii]
    # The other quadrants mirror the first one.
    first, second = (
        ((np.arange(reach + 1)[:, None] + nodes / 2) / radius).ravel()
        for reach, radius in zip(reaches, radii, strict=True)
    )
    v = np.hypot(first[:, None], second[None])
    pattern = np.square(2 * special.j1(np.maximum(v, 1e-9)) / np.maximum(v, 1e-9)) * (v <= MAX_V)
    shape = (reaches[0] + 1, SUBPIXELS, reaches[1] + 1, SUBPIXELS)
    quadrant = np.einsum("isjt,s,t->ij", pattern.reshape(shape), weights, weights)
    half = np.concatenate([quadrant[:0:-1], quadrant])
    whole = np.concatenate([half[:, :0:-1], half], axis=1)
    return whole / whole.sum()
