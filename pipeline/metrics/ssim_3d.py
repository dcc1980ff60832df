"""Structural similarity of a volume, with a three-dimensional window.

The formula of Wang et al. (2004) with a 3-D Gaussian window. Unlike `ssim`, it is sensitive to inconsistencies between
neighbouring slices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import ssim

TITLE = "SSIM, 3-D"
UNIT, HIGHER_IS_BETTER, PERFECT, RANGE = ssim.UNIT, ssim.HIGHER_IS_BETTER, ssim.PERFECT, ssim.RANGE
SOURCE, DECIMALS = ssim.SOURCE, ssim.DECIMALS

REACH = ssim.WINDOW_SIDE // 2
"""Radius of the window in voxels."""
MAX_VOXELS = 2**23
"""Maximum number of voxels of a slab."""


def per_volume(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    spacing: Sequence[float],
) -> float:
    """Return the mean of `per_voxel` over the mask."""
    return float(np.mean(per_voxel(reference, estimate, data_range, spacing)[mask], dtype=np.float64))


def per_voxel(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], data_range: float, spacing: Sequence[float]
) -> NDArray[np.float32]:
    """Return the map of structural similarity; the window has the same side in voxels along all axes.

    The map is computed slab by slab, since its moments take about 130 bytes per voxel. Slabs overlap by the radius of
    the window, so that the result is the same.

    Raises:
        UserError: the volume is smaller than the window.
    """
    del spacing
    found = np.empty(reference.shape, dtype=np.float32)
    for start, stop in slabs(reference.shape):
        before, after = max(0, start - REACH), min(len(reference), stop + REACH)
        values = ssim.per_voxel(reference[before:after], estimate[before:after], data_range)
        found[start:stop] = values[start - before : stop - before]
    return found


def slabs(shape: Sequence[int], max_voxels: int = MAX_VOXELS) -> list[tuple[int, int]]:
    """Split a volume along its first axis into slabs of equal thickness.

    Args:
        shape: shape of the volume.
        max_voxels: maximum number of voxels of a slab; exceeded if a slab would be thinner than the window.

    Returns:
        Start and stop index of each slab.
    """
    wanted = math.ceil(math.prod(shape) / max_voxels)
    count = max(1, min(wanted, shape[0] // ssim.WINDOW_SIDE))
    edges = [round(index * shape[0] / count) for index in range(count + 1)]
    return list(pairwise(edges))
