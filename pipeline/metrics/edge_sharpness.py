"""Sharpness of the edges of the reference in an image, after the acutance of Higgins and Jones (1952).

A ratio of gradients has its best value in the middle: it is below 1 for blurred edges and above 1 for oversharpened
(or noisy) ones. A ratio above 1 is replaced by its inverse, so that higher is better and the two errors cannot cancel
in means over slices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

TITLE = "Edge sharpness"
UNIT = ""
HIGHER_IS_BETTER = True
PERFECT = 1.0
RANGE = "0 to 1; 1 if the strongest edges of the reference are equally steep, 0.5 if they are half or twice as steep"
SOURCE = "ratio of mean gradients, after Higgins and Jones, Journal of the SMPTE 58:277-290, 1952"
DECIMALS = 3
SINGLE_PROPERTY = True

EDGE_SHARE = 0.1
"""Fraction of the voxels of the region, those with the largest gradient of the reference, that are edges."""


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return min(r, 1 / r) of `steepness_ratio`; 1 if neither image has an edge."""
    del data_range
    ratio = steepness_ratio(reference, estimate, mask)
    return min(ratio, 1 / ratio) if ratio > 0 else 0.0


def steepness_ratio(reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Return the mean gradient of the estimate divided by that of the reference, over the strongest edges in the mask.

    Edges are blurred for a ratio below 1 and oversharpened above 1. The ratio is 1 if neither image has an edge, and
    infinite if only the estimate has one. Arguments as in `per_slice`.
    """
    of_reference, of_estimate = (_gradient_magnitude(picture)[mask] for picture in (reference, estimate))
    edges = of_reference >= np.quantile(of_reference, 1 - EDGE_SHARE)
    expected, found = float(np.mean(of_reference[edges])), float(np.mean(of_estimate[edges]))
    if expected == 0:
        return 1.0 if found == 0 else np.inf
    return found / expected


def _gradient_magnitude(picture: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the gradient magnitude by the Sobel operator, in intensity per voxel."""
    values = np.asarray(picture, dtype=np.float64)
    return np.hypot(ndimage.sobel(values, axis=0), ndimage.sobel(values, axis=1)) / 8
