"""How steep the reference's edges are in an image, after the acutance of Higgins and Jones (1952).

A ratio of steepness has its best value in the middle: blurred edges lie below 1, edges that were drawn too hard (or
noise on them) above. So that higher is better and means over slices cannot balance the one by the other, a ratio
above 1 counts as its inverse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

TITLE = "Edge sharpness"
UNIT = ""
HIGHER_IS_BETTER = True
PERFECT = 1.0
RANGE = (
    "0 to 1; 1 where the reference's strongest edges are as steep as in the reference, 0.5 where half or twice as steep"
)
SOURCE = "ratio of mean gradients, after Higgins and Jones, Journal of the SMPTE 58:277-290, 1952"
DECIMALS = 3
OF_ONE_PROPERTY = True

STRONGEST = 0.1
"""Share of the region's voxels that counts as edges, by the gradient of the reference."""


def per_slice(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Return min(r, 1 / r) of `steepness_ratio`; 1 where neither image has an edge. No matter what the range is."""
    del data_range
    ratio = steepness_ratio(reference, estimate, mask)
    return min(ratio, 1 / ratio) if ratio > 0 else 0.0


def steepness_ratio(reference: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Return the estimate's mean gradient over the reference's strongest edges in the mask, by the reference's own.

    Below 1 the edges are blurred, above 1 they are too hard. It is 1 where neither has an edge, infinite where only
    the estimate has. Arguments as in `per_slice`.
    """
    of_reference, of_estimate = (_gradient_magnitude(picture)[mask] for picture in (reference, estimate))
    edges = of_reference >= np.quantile(of_reference, 1 - STRONGEST)
    expected, found = float(np.mean(of_reference[edges])), float(np.mean(of_estimate[edges]))
    if expected == 0:
        return 1.0 if found == 0 else np.inf
    return found / expected


def _gradient_magnitude(picture: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the length of the gradient by Sobel's operator, in intensity per voxel."""
    values = np.asarray(picture, dtype=np.float64)
    return np.hypot(ndimage.sobel(values, axis=0), ndimage.sobel(values, axis=1)) / 8
