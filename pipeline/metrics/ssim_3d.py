"""Structural similarity of a volume, with a window that reaches across the slices too.

The formula of Wang et al. (2004) with a Gaussian window of three dimensions. Where slices of an estimate are each
sharp, but do not fit together, this measure sees it and `ssim` does not.
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
"""Voxels to either side of one that count in its window."""
MAX_VOXELS = 2**23
"""Of a slab that is measured at once."""


def per_volume(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    data_range: float,
    spacing: Sequence[float],
) -> float:
    """Return the mean over the mask of `per_voxel`."""
    return float(np.mean(per_voxel(reference, estimate, data_range, spacing)[mask], dtype=np.float64))


def per_voxel(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], data_range: float, spacing: Sequence[float]
) -> NDArray[np.float32]:
    """Return the map of structural similarity; the window has the same side in voxels along all axes.

    The map is drawn slab by slab, since its moments take some 130 bytes a voxel. A slab brings as many neighbours as
    the window reaches, so that nothing changes.

    Raises:
        UserError: the volume is smaller than the window.
    """
    del spacing
    found = np.empty(reference.shape, dtype=np.float32)
    for start, stop in slabs(reference.shape):
        before, after = max(0, start - REACH), min(len(reference), stop + REACH)
        drawn = ssim.per_voxel(reference[before:after], estimate[before:after], data_range)
        found[start:stop] = drawn[start - before : stop - before]
    return found


def slabs(shape: Sequence[int], most: int = MAX_VOXELS) -> list[tuple[int, int]]:
    """Cut a volume along its first axis into equal slabs of at most `most` voxels, none thinner than the window.

    Args:
        shape: of the volume.
        most: voxels of a slab; the window's width counts more.

    Returns:
        First slice and the one after the last of each slab.
    """
    wanted = math.ceil(math.prod(shape) / most)
    count = max(1, min(wanted, shape[0] // ssim.WINDOW_SIDE))
    edges = [round(index * shape[0] / count) for index in range(count + 1)]
    return list(pairwise(edges))
