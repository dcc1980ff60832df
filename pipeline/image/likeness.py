"""Whether two registered scans show the same head in the same contrast.

Heads of different persons agree at low spatial frequencies, and contrasts of one person agree in where their edges are.
Details between one and two slice thicknesses agree only in scans of one head in one contrast, so their correlation
decides. The alignment of the edges, in any direction of contrast, then separates another contrast from another head
(Haber and Modersitzki, Methods of Information in Medicine 46:292-299, 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.config.parameters import FWHM_PER_SIGMA
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Image
from pipeline.image.rigid import Rigid
from pipeline.image.smoothing import gaussian

MIN_DETAIL = 0.75
"""Minimum correlation of details of scans of one head in one contrast."""
MIN_EDGES = 0.9
"""Minimum alignment of edges by which two contrasts of one head are recognised."""
MAX_INVERTED = -0.5
"""Maximum correlation of details by which an inverted contrast of one head is recognised."""
MARGIN_WIDTHS = 2
"""Distance from the outline of the head within which details are not compared, in widths of the point spread function:
outlines are alike in different persons and contrasts."""
MIN_SUPPORT = 0.01
"""Prevents a division by zero far outside of the common field of view."""
MIN_VOXELS = 200
"""Minimum number of voxels that are compared."""


@dataclass(frozen=True)
class Likeness:
    """Agreement of two registered scans within the head.

    Attributes:
        correlation: of the intensities at the common resolution.
        detail: correlation of the details between one and two widths of the common resolution.
        edges: mean squared cosine of the angle between the intensity gradients, weighted by their lengths; 1/3 for
            unrelated scans, and independent of the contrast.
    """

    correlation: float
    detail: float
    edges: float

    @property
    def is_same(self) -> bool:
        """Whether the scans show the same head in the same contrast."""
        return self.detail >= MIN_DETAIL

    @property
    def refusal(self) -> str:
        """What is wrong with scans that do not, as a message."""
        found = f"after registration, their details have a correlation of {self.detail:.2f}, below {MIN_DETAIL:g}"
        if self.edges >= MIN_EDGES or self.detail <= MAX_INVERTED:
            return (
                f"the scans show one head in different contrasts: {found}. Only scans of "
                "one contrast can be combined; combine each contrast by itself."
            )
        return (
            f"the scans do not match: {found}. They show different heads, or one head in different contrasts, or are "
            "too far apart for the registration. Only scans of one head in one contrast can be combined."
        )


def likeness(fixed: Image, moving: Image, transform: Rigid, width_mm: float) -> Likeness:
    """Measure the agreement of two registered scans.

    Args:
        fixed: at the common resolution, see `pipeline.image.isotropic`.
        moving: at the same resolution, with the same voxel size.
        transform: from world coordinates of `fixed` to those of `moving`.
        width_mm: full width at half maximum of the common point spread function.

    Returns:
        The agreement; zeros if hardly any part of the head lies in both fields of view.
    """
    step = fixed.spacing[0]
    first, second = fixed.data, resampled(moving.data, moving, fixed, transform)
    shared = resampled(np.ones_like(moving.data), moving, fixed, transform) > 1 - 1e-3
    depth = np.asarray(ndimage.distance_transform_edt(foreground_mask(first)))
    common = ndimage.binary_erosion(shared, border_value=1)
    inside = np.logical_and(depth * step > MARGIN_WIDTHS * width_mm, common)
    if np.count_nonzero(inside) < MIN_VOXELS:
        return Likeness(0.0, 0.0, 0.0)
    sigma = np.sqrt(3) * width_mm / FWHM_PER_SIGMA / step  # twice the width, together with that of the scans
    details = (_detail(one, shared, sigma)[inside] for one in (first, second))
    slopes = (_gradient(one, inside) for one in (first, second))
    return Likeness(_correlation(first[inside], second[inside]), _correlation(*details), _alignment(*slopes))


def resampled(data: NDArray, moving: Image, fixed: Image, transform: Rigid) -> NDArray[np.float32]:
    """Resample an array on the grid of the moving scan to the grid of the fixed image; 0 beyond its field of view."""
    change = np.linalg.inv(moving.affine) @ transform.matrix() @ fixed.affine
    result = np.zeros(fixed.data.shape, dtype=np.float32)
    ndimage.affine_transform(data, change, output=result, order=1)
    return result


def _detail(data: NDArray, shared: NDArray[np.bool_], sigma: float) -> NDArray[np.floating]:
    """Subtract the local mean over the common field of view, which is 0 beyond it."""
    support = gaussian(shared, sigma)
    return data - gaussian(data * shared, sigma) / np.maximum(support, MIN_SUPPORT)


def _gradient(data: NDArray, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.stack([one[mask] for one in np.gradient(data)]).astype(np.float64)


def _correlation(first: NDArray, second: NDArray) -> float:
    first, second = (one - np.mean(one, dtype=np.float64) for one in (first, second))
    power = float(np.sqrt(np.sum(first**2) * np.sum(second**2)))
    return float(np.sum(first * second)) / power if power > 0 else 0.0


def _alignment(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    lengths = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    products = np.sum(first * second, axis=0)
    squares = np.divide(products**2, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return float(squares.sum() / lengths.sum()) if lengths.any() else 0.0
