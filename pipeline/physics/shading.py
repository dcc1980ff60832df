"""Smooth multiplicative bias fields, as of receive coils or uneven illumination.

A field is the exponential of a polynomial in the two coordinates of a slice, as in bias correction models (Van Leemput,
Maes, Vandermeulen and Suetens, IEEE Transactions on Medical Imaging 18:885-896, 1999).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ORDER = 3
"""Maximum total degree of the polynomial."""


def draw_coefficients(generator: np.random.Generator) -> NDArray[np.float64]:
    """Return random coefficients, shape (ORDER + 1, ORDER + 1), of x^i y^j with 1 <= i + j <= ORDER."""
    coefficients = generator.uniform(-1, 1, (ORDER + 1, ORDER + 1))
    degrees = np.add.outer(np.arange(ORDER + 1), np.arange(ORDER + 1))
    return np.where((degrees >= 1) & (degrees <= ORDER), coefficients, 0)


def field(shape: tuple[int, int], coefficients: NDArray[np.float64], strength: float) -> NDArray[np.float32]:
    """Return the bias field of a slice.

    Args:
        shape: shape of the slice; the coordinates run from -1 to 1 along both axes.
        coefficients: coefficients of x^i y^j.
        strength: maximum change; the field lies between 1 - strength and 1 / (1 - strength) and reaches one of them.

    Returns:
        Multiplicative factors, float32, of the given shape.
    """
    rows, columns = (np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in shape)
    logarithm = np.polynomial.polynomial.polygrid2d(rows, columns, coefficients)
    largest = np.abs(logarithm).max()
    scaled = logarithm * (-np.log1p(-strength) / largest) if largest else logarithm
    return np.exp(scaled).astype(np.float32)


def draw_field(shape: tuple[int, int], max_strength: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return a random bias field with a strength drawn uniformly from 0 to `max_strength`; see `field`."""
    strength = generator.uniform(0, max_strength)
    return field(shape, draw_coefficients(generator), strength)
