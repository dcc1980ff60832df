"""The detail ledger: amounts of right, missing and invented detail in a restored image.

After opensr-test (Aybar et al., IEEE Geoscience and Remote Sensing Letters 21, 2024), a restored image is compared
voxel by voxel with the interpolated low-resolution image and with the reference. The reference differs from the
interpolated image by the detail to be added, the restored image by the detail that was added. Where both have the same
sign, the smaller of the two is `right`. The remaining detail of the reference is `missing`; the remaining detail of the
restored image, or detail of the opposite sign, is `invented`::

    right + missing  = |reference - lr|
    right + invented = |estimate - lr|

A method is described by the three amounts divided by their sum. These shares are 0, 1 and 0 for the interpolated
image, and 1, 0 and 0 for the reference. Removal of noise from the low-resolution image also counts as detail.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class DetailShares(NamedTuple):
    """Shares of all detail in the reference or the restored image, which sum to 1.

    Attributes:
        right: detail of both images.
        missing: detail of the reference only.
        invented: detail of the restored image only.
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
        estimate: restored intensities of the same shape.
        lr: low-resolution image, interpolated to the same grid.

    Returns:
        Non-negative intensities, float32, with a last axis of three in the order of `DetailShares`.
    """
    expected = np.asarray(reference, dtype=np.float64) - lr
    added = np.asarray(estimate, dtype=np.float64) - lr
    smaller = np.minimum(np.abs(expected), np.abs(added))
    right = np.where(np.sign(expected) == np.sign(added), smaller, 0.0)
    return np.stack([right, np.abs(expected) - right, np.abs(added) - right], axis=-1).astype(np.float32)


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
        The shares; `right` is 1 if there is no detail.
    """
    amounts = detail_map(reference[mask], estimate[mask], lr[mask]).sum(axis=0, dtype=np.float64)
    total = float(amounts.sum())
    return DetailShares(*(float(amount) / total for amount in amounts)) if total else DetailShares(1.0, 0.0, 0.0)
