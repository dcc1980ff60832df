"""The detail ledger: how much of the detail that a method adds is right, how much is invented, how much is missing.

The idea is that of opensr-test (Aybar et al., IEEE Geoscience and Remote Sensing Letters 21, 2024): the result of a
method is compared voxel by voxel with the interpolated low-resolution image and with the reference. Here it is a
balance of amounts. The reference differs from the interpolated image by the detail to be added; the result differs from
it by the detail that was added. Where both have the same sign, the smaller of the two is `right`. Detail of the
reference beyond it is `missing`; detail of the result beyond it, or of the opposite sign, is `invented`:

    right + missing  = |reference - lr|
    right + invented = |estimate - lr|

The three shares of their sum, which add up to 1, describe a method. Interpolation has 0, 1 and 0, the reference 1, 0
and 0. Removing noise from the low-resolution image counts as detail like any other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class DetailShares(NamedTuple):
    """Shares of all detail in the reference or the result, which add up to 1.

    Attributes:
        right: detail of both.
        missing: detail of the reference only.
        invented: detail of the result only.
    """

    right: float
    missing: float
    invented: float


def detail_map(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], lr: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return the amounts of right, missing and invented detail at every voxel.

    Args:
        reference: normalised intensities, any shape.
        estimate: restored intensities, of the same shape.
        lr: low-resolution image interpolated to the same grid.

    Returns:
        Non-negative intensities, float32, with a last axis of three in the order of `DetailShares`.
    """
    wanted = np.asarray(reference, dtype=np.float64) - lr
    added = np.asarray(estimate, dtype=np.float64) - lr
    smaller = np.minimum(np.abs(wanted), np.abs(added))
    right = np.where(np.sign(wanted) == np.sign(added), smaller, 0.0)
    return np.stack([right, np.abs(wanted) - right, np.abs(added) - right], axis=-1).astype(np.float32)


def detail_shares(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    lr: NDArray[np.floating],
    mask: NDArray[np.bool_],
) -> DetailShares:
    """Return the shares of right, missing and invented detail over a region.

    Args:
        reference: as in `detail_map`.
        estimate: as in `detail_map`.
        lr: as in `detail_map`.
        mask: the region, not empty.

    Returns:
        The shares; all detail counts as right where there is none.
    """
    amounts = detail_map(reference[mask], estimate[mask], lr[mask]).sum(axis=0, dtype=np.float64)
    total = float(amounts.sum())
    return DetailShares(*(float(amount) / total for amount in amounts)) if total else DetailShares(1.0, 0.0, 0.0)
